//! Who polls a driver, and when.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::mpsc;
use std::task::Wake;

use super::*;

/// A task: counts how often it is woken.
#[derive(Default)]
struct Task(AtomicU32);

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Task {
    fn woken(&self) -> u32 {
        self.0.swap(0, Ordering::Relaxed)
    }
}

/// A driver, and who looks after it.
struct Scene {
    drive: Arc<Drive>,
    own: Waker,
    keeper: (Pin<Box<dyn Future<Output = ()>>>, Arc<Task>),
    borrower: Arc<Task>,
    polls: Arc<AtomicU32>,
}

/// What a driver does when it is polled.
type Script = Box<dyn FnMut(&Context<'_>) -> Poll<()> + Send>;

impl Scene {
    fn of(mut script: Script) -> Self {
        let (drive, polls) = (Arc::new(Drive::new()), Arc::<AtomicU32>::default());
        let counted = Arc::clone(&polls);
        let driver = move |cx: &mut Context<'_>| {
            counted.fetch_add(1, Ordering::Relaxed);
            script(cx)
        };
        let keeper = Box::pin(drive.keep(Box::new(driver)));
        let own = Waker::from(Arc::clone(&drive));
        Self { drive, own, keeper: (keeper, Arc::default()), borrower: Arc::default(), polls }
    }

    fn pending() -> Self {
        Self::of(Box::new(|_| Poll::Pending))
    }

    /// Its driver says when it is being polled, and stays there until the other end is dropped.
    fn held_up() -> (Self, mpsc::Receiver<()>, mpsc::Sender<()>) {
        let (entered, is_in) = mpsc::channel();
        let (go, may_leave) = mpsc::channel::<()>();
        let scene = Self::of(Box::new(move |_| {
            entered.send(()).unwrap();
            let _ = may_leave.recv();
            Poll::Pending
        }));
        (scene, is_in, go)
    }

    fn polls(&self) -> u32 {
        self.polls.swap(0, Ordering::Relaxed)
    }

    fn keep(&mut self) -> Poll<()> {
        let task = Waker::from(Arc::clone(&self.keeper.1));
        self.keeper.0.as_mut().poll(&mut Context::from_waker(&task))
    }

    fn keep_unwound(&mut self) -> std::thread::Result<Poll<()>> {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.keep()))
    }

    fn borrow<T>(&self, act: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        self.drive.borrow();
        let task = Waker::from(Arc::clone(&self.borrower));
        self.drive.poll(&self.own, &Context::from_waker(&task), act)
    }

    /// Keeper, borrower: how often each was woken since.
    fn woken(&self) -> (u32, u32) {
        (self.keeper.1.woken(), self.borrower.woken())
    }
}

fn nothing(_: &mut Context<'_>) -> Poll<()> {
    Poll::Pending
}

#[test]
fn the_keeper_polls_when_there_is_reason_to() {
    let mut scene = Scene::pending();
    assert!(scene.keep().is_pending());
    assert_eq!(scene.polls(), 1);
    assert!(scene.keep().is_pending());
    assert_eq!(scene.polls(), 0, "it was not woken");
    scene.own.wake_by_ref();
    assert_eq!(scene.woken(), (1, 0));
    assert!(scene.keep().is_pending());
    assert_eq!(scene.polls(), 1);
}

#[test]
fn a_borrower_polls_in_its_own_task() {
    let mut scene = Scene::pending();
    assert!(scene.borrow(nothing).is_pending());
    assert_eq!((scene.polls(), scene.woken()), (1, (0, 0)));
    scene.own.wake_by_ref();
    assert_eq!(scene.woken(), (0, 1));
    assert!(scene.keep().is_pending());
    assert_eq!(scene.polls(), 0, "it is not the keeper's turn");
    assert!(scene.borrow(nothing).is_pending());
    assert_eq!(scene.polls(), 1);
}

#[test]
fn what_a_borrower_wakes_it_polls_at_once_without_being_woken() {
    let scene = Scene::pending();
    assert!(scene.borrow(nothing).is_pending());
    scene.polls();
    let mut takes = 0;
    let polled = scene.borrow(|own| {
        takes += 1;
        if takes == 1 {
            own.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(takes)
    });
    assert_eq!((polled, scene.polls(), scene.woken()), (Poll::Ready(2), 1, (0, 0)));
}

#[test]
fn what_another_thread_or_another_connection_wakes_is_woken() {
    let (scene, other) = (Scene::pending(), Scene::pending());
    assert!(scene.borrow(nothing).is_pending() && other.borrow(nothing).is_pending());
    scene.drive.hold_back(|| {
        other.own.wake_by_ref();
        std::thread::scope(|scope| {
            scope.spawn(|| scene.own.wake_by_ref());
        });
    });
    assert_eq!((scene.woken(), other.woken()), ((0, 1), (0, 1)));
}

#[test]
fn what_came_before_a_connection_is_given_back_is_the_keepers() {
    let mut scene = Scene::pending();
    assert!(scene.keep().is_pending() && scene.borrow(nothing).is_pending());
    scene.polls();
    scene.own.wake_by_ref();
    assert_eq!(scene.woken(), (0, 1));
    scene.drive.give_back(true);
    assert_eq!(scene.woken(), (1, 0));
    assert!(scene.keep().is_pending());
    assert_eq!(scene.polls(), 1);
}

#[test]
fn taking_the_last_of_an_answer_wakes_nobody() {
    let mut scene = Scene::pending();
    assert!(scene.keep().is_pending() && scene.borrow(nothing).is_pending());
    scene.drive.hold_back(|| scene.own.wake_by_ref());
    scene.drive.give_back(true);
    assert_eq!(scene.woken(), (0, 0));
    scene.drive.give_back(false);
    assert_eq!(scene.woken(), (1, 0));
}

#[test]
fn what_a_driver_puts_off_it_does_when_it_is_given_back_if_not_before() {
    let drive = Arc::new(OnceLock::<Arc<Drive>>::new());
    let known = Arc::clone(&drive);
    let mut scene = Scene::of(Box::new(move |_| {
        known.get().unwrap().puts_off();
        Poll::Pending
    }));
    assert!(drive.set(Arc::clone(&scene.drive)).is_ok());
    let mut pieces = 0;
    let polled = scene.borrow(|_| {
        pieces += 1;
        if pieces < 2 { Poll::Pending } else { Poll::Ready(()) }
    });
    assert_eq!(
        (polled, scene.polls(), scene.woken()),
        (Poll::Ready(()), 2, (0, 0)),
        "it was polled for what was waited for"
    );
    assert!(scene.keep().is_pending());
    scene.woken();
    scene.drive.give_back(true);
    assert_eq!(scene.woken(), (1, 0));
    assert!(scene.keep().is_pending());
    assert_eq!((scene.polls(), scene.woken()), (1, (1, 0)), "and so on");
}

#[test]
fn the_end_of_a_driver_is_told_to_both() {
    let mut scene = Scene::of(Box::new(|_| Poll::Ready(())));
    assert!(scene.borrow(nothing).is_pending());
    assert!(scene.drive.is_ended());
    assert!(scene.keep().is_ready());
    assert_eq!(scene.polls(), 1, "never again");
}

#[test]
fn an_aborted_driver_is_dropped_also_by_whoever_is_polling_it() {
    let held = Arc::new(());
    let inside = Arc::clone(&held);
    let mut scene = Scene::of(Box::new(move |_| {
        let _held = &inside;
        Poll::Pending
    }));
    assert!(scene.keep().is_pending());
    scene.drive.abort();
    assert_eq!(Arc::strong_count(&held), 1);
    assert!(scene.keep().is_ready());

    let inside = Arc::clone(&held);
    let drive = Arc::new(OnceLock::<Arc<Drive>>::new());
    let known = Arc::clone(&drive);
    let scene = Scene::of(Box::new(move |_| {
        let _held = &inside;
        known.get().unwrap().abort();
        Poll::Pending
    }));
    assert!(drive.set(Arc::clone(&scene.drive)).is_ok());
    assert!(scene.borrow(nothing).is_pending());
    assert!(scene.drive.is_ended());
    assert_eq!(Arc::strong_count(&held), 1);
}

#[test]
fn a_keeper_that_is_dropped_takes_the_driver_with_it() {
    let held = Arc::new(());
    let inside = Arc::clone(&held);
    let Scene { keeper, drive, .. } = Scene::of(Box::new(move |_| {
        let _held = &inside;
        Poll::Pending
    }));
    drop(keeper);
    assert!(drive.is_ended());
    assert_eq!(Arc::strong_count(&held), 1);
}

#[test]
fn a_driver_that_wakes_itself_does_not_keep_others_from_running() {
    let restless = || {
        Scene::of(Box::new(|cx| {
            cx.waker().wake_by_ref();
            Poll::Pending
        }))
    };
    let scene = restless();
    assert!(scene.borrow(nothing).is_pending());
    assert_eq!((scene.polls(), scene.woken()), (TURNS, (0, 1)));
    let mut scene = restless();
    assert!(scene.keep().is_pending());
    assert_eq!((scene.polls(), scene.woken()), (1, (1, 0)));
}

#[test]
fn who_comes_while_another_thread_polls_is_woken_after_that() {
    let (scene, is_in, go) = Scene::held_up();
    let Scene { drive, own, borrower, .. } = &scene;
    std::thread::scope(|scope| {
        scope.spawn(|| drive.advance(&mut Context::from_waker(own)));
        is_in.recv().unwrap();
        own.wake_by_ref();
        assert!(scene.borrow(nothing).is_pending());
        assert_eq!(borrower.woken(), 0);
        drop(go);
    });
    assert_eq!(scene.woken(), (0, 1));
}

#[test]
fn who_borrows_while_the_keeper_polls_is_told_of_what_that_brings() {
    let (entered, is_in) = mpsc::channel();
    let (go, may_leave) = mpsc::channel::<()>();
    let mut scene = Scene::of(Box::new(move |cx| {
        entered.send(()).unwrap();
        let _ = may_leave.recv();
        // As when it brings what its borrower waits for.
        cx.waker().wake_by_ref();
        Poll::Pending
    }));
    let (drive, own, borrower) = (Arc::clone(&scene.drive), scene.own.clone(), Arc::clone(&scene.borrower));
    std::thread::scope(|scope| {
        scope.spawn(move || {
            is_in.recv().unwrap();
            drive.borrow();
            let task = Waker::from(borrower);
            assert!(drive.poll(&own, &Context::from_waker(&task), nothing).is_pending());
            drop(go);
        });
        assert!(scene.keep().is_pending());
    });
    assert_eq!(scene.woken(), (0, 1));
}

#[test]
fn what_has_to_be_done_is_done_after_whoever_polls() {
    let (scene, is_in, go) = Scene::held_up();
    let Scene { drive, own, .. } = &scene;
    std::thread::scope(|scope| {
        scope.spawn(|| drive.advance(&mut Context::from_waker(own)));
        is_in.recv().unwrap();
        assert_eq!(drive.with(|_| ()), None, "somebody has it");
        let surely = scope.spawn(|| {
            let mut is_done = false;
            (drive.with_surely(|_| is_done = true), is_done)
        });
        drop(go);
        assert_eq!(surely.join().unwrap(), (true, true));
    });
    drive.abort();
    assert!(!drive.with_surely(|_| unreachable!("it has ended")));
}

#[test]
fn a_driver_that_panics_ends_and_its_keeper_hears_of_it() {
    let mut scene = Scene::of(Box::new(|_| panic!("as a bug would")));
    assert!(scene.keep_unwound().is_err());
    scene.woken();
    scene.drive.abort();
    assert!(scene.drive.is_ended());
    assert_eq!(scene.woken(), (1, 0));
    assert!(scene.keep().is_ready());
}
