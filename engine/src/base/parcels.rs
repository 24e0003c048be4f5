//! What changes hands whole between workers: an edge tells where it lies, and its memory goes back to whoever sent it.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Parcels on their way, and the memory of those that have come.
#[derive(Debug)]
pub(crate) struct Parcels<P>(Mutex<Room<P>>);

#[derive(Debug)]
struct Room<P> {
    sent: Vec<Option<P>>,
    free: Vec<u32>,
    /// What each worker gets back, as it was used.
    spare: Vec<Vec<P>>,
}

impl<P> Parcels<P> {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Room { sent: Vec::new(), free: Vec::new(), spare: Vec::new() }))
    }

    fn lock(&self) -> MutexGuard<'_, Room<P>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a parcel to be sent and gives its number, and something that came back to this worker, where there is.
    pub(crate) fn send(&self, worker: usize, parcel: P) -> (u32, Option<P>) {
        let mut room = self.lock();
        let number = room.free.pop().unwrap_or_else(|| {
            room.sent.push(None);
            room.sent.len() as u32 - 1
        });
        room.sent[number as usize] = Some(parcel);
        (number, room.spare.get_mut(worker).and_then(Vec::pop))
    }

    /// Takes the parcel that came with this number, which may be that of another from now on.
    pub(crate) fn receive(&self, number: u32) -> Option<P> {
        let mut room = self.lock();
        let parcel = room.sent.get_mut(number as usize)?.take()?;
        room.free.push(number);
        Some(parcel)
    }

    /// Takes the parcel that came with this number, which is told more than once, until [`Parcels::close`].
    pub(crate) fn open(&self, number: u32) -> Option<P> {
        self.lock().sent.get_mut(number as usize)?.take()
    }

    /// Ends what [`Parcels::open`] began, and gives the memory back to a worker.
    pub(crate) fn close(&self, number: u32, worker: usize, parcel: P) {
        self.lock().free.push(number);
        self.give_back(worker, parcel);
    }

    /// Gives memory back to a worker.
    pub(crate) fn give_back(&self, worker: usize, parcel: P) {
        let mut room = self.lock();
        if room.spare.len() <= worker {
            room.spare.resize_with(worker + 1, Vec::new);
        }
        room.spare[worker].push(parcel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parcel_comes_once_and_its_memory_goes_back_to_its_worker() {
        let parcels = Parcels::new();
        let (first, spare) = parcels.send(1, "first");
        assert_eq!(spare, None);
        let (second, _) = parcels.send(0, "second");
        assert_ne!(first, second);
        assert_eq!(parcels.receive(first), Some("first"));
        assert_eq!((parcels.receive(first), parcels.receive(7)), (None, None));
        parcels.give_back(1, "memory");
        assert_eq!(parcels.send(0, "third").1, None);
        let (_, spare) = parcels.send(1, "fourth");
        assert_eq!(spare, Some("memory"));
        assert_eq!(parcels.open(second), Some("second"));
        let (third, _) = parcels.send(0, "fifth");
        assert_ne!(third, second);
        parcels.close(second, 0, "memory");
        assert_eq!(parcels.send(0, "sixth"), (second, Some("memory")));
    }
}
