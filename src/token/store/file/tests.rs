use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use super::super::contract;
use super::*;

const KEY: &str = "an example of a key, 32 letters.";

fn settings(path: &Path) -> FileSettings {
    FileSettings { path: path.to_owned(), key: SecretSource::fixed(KEY) }
}

fn open(path: &Path) -> FileStore {
    FileStore::open(&settings(path)).unwrap()
}

fn refusal(settings: &FileSettings) -> String {
    FileStore::open(settings).err().unwrap().to_string()
}

/// A store, and the directory that it lies in.
fn new() -> (tempfile::TempDir, PathBuf, FileStore) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokens");
    let store = open(&path);
    (directory, path, store)
}

#[tokio::test]
async fn it_keeps_the_contract() {
    let (_directory, _, store) = new();
    contract::holds(&store).await;
    contract::forgets(&store).await;
}

#[tokio::test]
async fn many_may_use_it_at_once() {
    let (_directory, _, store) = new();
    contract::holds_for_many(Arc::new(store)).await;
}

// Two that opened the file are to each other what two processes are: locks belong to open files.
#[tokio::test]
async fn two_processes_of_one_host_share_it() {
    let (_directory, path, store) = new();
    let (one, other): (Arc<dyn TokenStore>, Arc<dyn TokenStore>) = (Arc::new(store), Arc::new(open(&path)));
    contract::leases([Arc::clone(&one), Arc::clone(&other)]).await;
    contract::marks([one, other]).await;
}

#[tokio::test]
async fn what_is_stored_survives_a_restart_and_cannot_be_read_without_the_key() {
    let (directory, path, store) = new();
    contract::save(&store, "zpax", Some("hunter2")).await;
    drop(store);
    assert_eq!(contract::loaded(&open(&path), "zpax").await.as_deref(), Some("hunter2"));

    for entry in fs::read_dir(directory.path()).unwrap().chain(fs::read_dir(locks(&path)).unwrap()) {
        let path = entry.unwrap().path();
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{path:?}");
        let bytes = if path.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
        for plain in [b"hunter2".as_slice(), b"zpax"] {
            assert!(!bytes.windows(plain.len()).any(|window| window == plain), "{path:?}");
        }
    }
}

#[tokio::test]
async fn a_file_that_is_damaged_cut_off_or_foreign_is_refused_with_advice() {
    let (_directory, path, store) = new();
    contract::save(&store, "zpax", Some("hunter2")).await;
    let whole = fs::read(&path).unwrap();
    let mut changed = whole.clone();
    changed[whole.len() / 2] ^= 1;
    let newer = String::from_utf8_lossy(&whole).replacen("store 1\n", "store 2\n", 1).into_bytes();
    let cases: [(&[u8], &str); 6] = [
        (b"", "is damaged: it was cut off or changed; put back a copy of it"),
        (&whole[..20], "is damaged"),
        (&whole[..whole.len() - 1], "is damaged"),
        (&changed, "is damaged"),
        (b"{\"token\": \"hunter2\"}", "is not of bearer-proxy; set `token_store.file.path` to another file"),
        (&newer, "is of another version of bearer-proxy; use the version that wrote it"),
    ];
    for (bytes, expected) in cases {
        fs::write(&path, bytes).unwrap();
        let error = refusal(&settings(&path));
        assert!(error.contains(expected) && error.contains("or move it away to begin anew"), "{error}");
        assert!(error.contains(path.to_str().unwrap()) && !error.contains("hunter2"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), bytes, "it stays as it is");
        // Neither does one that runs take it for an empty one.
        assert!(store.load("zpax").await.is_err() && store.trouble().unwrap().contains(expected));
        assert!(store.try_lease("zpax", Duration::from_secs(1)).await.is_err());
    }
    fs::write(&path, &whole).unwrap();
    assert_eq!(contract::loaded(&store, "zpax").await.as_deref(), Some("hunter2"));
    assert!(store.trouble().is_none());
}

#[tokio::test]
async fn a_file_that_goes_away_while_it_is_used_is_not_made_anew() {
    let (_directory, path, store) = new();
    contract::save(&store, "zpax", Some("hunter2")).await;
    fs::remove_file(&path).unwrap();
    assert!(store.load("zpax").await.is_err());
    assert!(store.try_lease("zpax", Duration::from_secs(1)).await.is_err());
    assert!(!path.exists());
}

#[test]
fn another_key_is_said_to_be_another_key() {
    let (_directory, path, _) = new();
    let error = refusal(&FileSettings { key: SecretSource::fixed("another key of 32 letters or more"), path });
    assert!(error.contains("was written with another key; set `token_store.file.key`"), "{error}");
}

#[test]
fn a_short_key_is_refused_before_there_is_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokens");
    let error = refusal(&FileSettings { key: SecretSource::fixed("hunter2"), path: path.clone() });
    assert!(error.contains("shorter than 32") && !error.contains("hunter2"), "{error}");
    assert!(!path.exists());
}

#[test]
fn a_file_or_a_directory_of_locks_that_others_may_use_is_refused() {
    let (_directory, path, _) = new();
    for mode in [0o640, 0o604, 0o620] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let error = refusal(&settings(&path));
        assert!(error.contains(&format!("open to others (mode {mode:o}); close it: chmod 600 ")), "{error}");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(locks(&path), fs::Permissions::from_mode(0o770)).unwrap();
    assert!(refusal(&settings(&path)).contains("chmod 700 "));
}

// As root, who may do everything: replaced by root, the proxy could not open it any more. The system's files are root's.
#[tokio::test]
async fn another_users_file_or_directory_of_locks_is_refused_and_the_user_named() {
    use std::os::unix::fs::chown;
    let us = rustix::process::geteuid().as_raw();
    if us != 0 {
        // Before anything is made of it, or looked for in it.
        let error = disk::check_closed(Path::new("/etc/passwd"), fs::metadata("/etc/passwd"), "600").unwrap_err();
        assert!(error.to_string().contains(&format!("belongs to uid 0, and this runs as uid {us};")), "{error}");
        return;
    }
    let (_directory, path, store) = new();
    for place in [path.clone(), locks(&path)] {
        chown(&place, Some(12345), None).unwrap();
        let error = refusal(&settings(&path));
        let expected = format!("{} belongs to uid 12345, and this runs as uid 0; run it as uid 12345", place.display());
        assert!(error.contains(&expected), "{error}");
        chown(&place, Some(0), None).unwrap();
    }
    // Nor does one that runs take it away.
    chown(&path, Some(12345), None).unwrap();
    assert!(store.try_lease("zpax", Duration::from_secs(1)).await.is_err());
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&path.metadata().unwrap()), 12345);
}

#[test]
fn a_key_that_others_may_write_is_refused_and_one_that_they_may_read_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let (path, key) = (directory.path().join("tokens"), directory.path().join("key"));
    fs::write(&key, format!("{KEY}\n")).unwrap();
    let settings = FileSettings { path, key: SecretSource::from_parts(vec![Part::File(key.clone())]) };
    for (mode, refused) in [(0o600, false), (0o444, false), (0o660, true), (0o602, true)] {
        fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
        let error = FileStore::open(&settings).err().map(|error| error.to_string());
        assert_eq!(error.is_some(), refused, "{mode:o}: {error:?}");
        assert!(error.is_none_or(|error| error.contains("may be written by others")));
    }
}

#[test]
fn a_place_where_no_file_can_be_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let error = refusal(&settings(&directory.path().join("no/tokens")));
    assert!(error.contains("/no"), "{error}");
}

#[tokio::test]
async fn a_link_leads_to_the_file() {
    let (directory, path, store) = new();
    let link = directory.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    contract::save(&open(&link), "zpax", Some("hunter2")).await;
    assert_eq!(contract::loaded(&store, "zpax").await.as_deref(), Some("hunter2"));
    assert!(link.is_symlink());
}

#[tokio::test]
async fn who_gives_up_saving_keeps_the_key_until_it_is_written() {
    let (_directory, path, store) = new();
    let other = open(&path);
    let held = contract::lease(&store, "zpax").await;
    let file = other.shelf.disk.lock().unwrap();
    let saving = tokio::time::timeout(Duration::ZERO, store.save(&held, Some(contract::value("hunter2"))));
    assert!(saving.await.is_err());
    drop(held);
    assert!(other.shelf.disk.try_lock_key("zpax").unwrap().is_none());

    drop(file);
    let held = contract::lease(&other, "zpax").await;
    assert_eq!(contract::loaded(&other, "zpax").await.as_deref(), Some("hunter2"));
    drop(held);
}

#[tokio::test]
async fn what_was_saved_under_a_later_lease_is_not_overwritten() {
    let (_directory, _, store) = new();
    let held = contract::lease(&store, "zpax").await;
    store.save(&held, Some(contract::value("later"))).await.unwrap();
    let earlier = Lease::new("zpax", held.fence() - 1, Duration::from_secs(1), ());
    for value in [Some(contract::value("earlier")), None] {
        assert!(matches!(store.save(&earlier, value).await, Err(StoreError::Overtaken)));
    }
    assert_eq!(contract::loaded(&store, "zpax").await.as_deref(), Some("later"));
}

const CHILD: &str = "BEARER_PROXY_TEST_STORE";

/// Not a test: what the next one kills. Saves 1, 2, 3 …, and tells each once it is saved.
#[tokio::test]
#[ignore = "ends when it is killed"]
async fn a_child_that_saves() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let store = open(Path::new(&path));
    let last = contract::loaded(&store, "count").await.map_or(0, |text| number(&text));
    for count in last + 1.. {
        contract::save(&store, "count", Some(&long(count))).await;
        println!("\nsaved {count}");
    }
}

/// A text that is wrong if any part of it is of another.
fn long(count: u64) -> String {
    format!("{count} ").repeat(2_000)
}

fn number(text: &str) -> u64 {
    let count = text.split(' ').next().unwrap().parse().unwrap();
    assert_eq!(text, long(count));
    count
}

#[tokio::test]
async fn what_is_stored_survives_kill_9_at_any_moment() {
    let (_directory, path, store) = new();
    let mut least = 0;
    for round in 0..100 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--ignored", "--nocapture", "token::store::file::tests::a_child_that_saves"])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
        let first = lines.find_map(|line| line.unwrap().strip_prefix("saved ").map(str::to_owned));
        least = first.unwrap().parse().unwrap();
        // At another moment of the next save each time: it takes about a millisecond.
        std::thread::sleep(Duration::from_micros(37 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        // What it said before it died counts too.
        for line in lines.map_while(Result::ok) {
            least = line.strip_prefix("saved ").map_or(least, |count| count.parse().unwrap_or(least).max(least));
        }

        let found = number(&contract::loaded(&store, "count").await.unwrap());
        assert!(found == least || found == least + 1, "{found}, after {least} was saved");
        // Nor does a dead holder keep its lease, or what it left beside the file stop the next one.
        assert!(store.try_lease("count", Duration::from_secs(1)).await.unwrap().is_some());
        assert_eq!(number(&contract::loaded(&open(&path), "count").await.unwrap()), found);
    }
    assert!(least >= 100);
}
