//! After a request to upgrade: what follows it is a tunnel, or the next request (R19).

use super::{Guard, Mode};

impl<S> Guard<S> {
    /// At a crossroads: whether it was decided, and the way was taken.
    pub(super) fn turn(&mut self) -> bool {
        let Some(is_tunnel) = self.handle.decision(self.messages.heads()) else { return false };
        let kept = self.messages.take_kept();
        if is_tunnel {
            self.mode = Mode::Tunnel;
            self.ready = kept;
        } else {
            self.messages.go_straight_on();
            self.examine_apart(&kept);
        }
        true
    }

    /// Looks at bytes that did not come to where they are wanted: what may be seen of them goes behind what waits.
    pub(super) fn examine_apart(&mut self, bytes: &[u8]) {
        let in_place = self.examine(bytes);
        if in_place > 0 {
            // Nothing waited: `ready` has what came behind these.
            let mut ready = bytes.get(..in_place).unwrap_or_default().to_vec();
            ready.append(&mut self.ready);
            self.ready = ready;
        }
    }
}
