//! Who waits at the host program's end of a ring: threads and tasks that the job wakes.
//!
//! Whoever waits says so first and then looks at the ring again. The job changes the ring first and then looks whether
//! anybody waits. Between the two steps of each stands a fence, so that at least one of the two sees what the other did:
//! no wake-up is lost, and a job that nobody waits for takes no lock.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// One of those who may wait for the other end of a ring. A clone is another one, beside it.
#[derive(Default)]
pub(super) struct Waiters {
    /// Among those who share the ring.
    id: usize,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Whether there may be wakers.
    is_any: AtomicBool,
    /// With the ids of those who wait, at most one for each.
    wakers: Mutex<Vec<(usize, Waker)>>,
    ids: AtomicUsize,
}

impl Shared {
    fn wakers(&self) -> MutexGuard<'_, Vec<(usize, Waker)>> {
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cold]
    fn wake_all(&self) {
        let mut wakers = self.wakers();
        self.is_any.store(false, Ordering::Relaxed);
        let woken = std::mem::take(&mut *wakers);
        drop(wakers);
        woken.into_iter().for_each(|(_, waker)| waker.wake());
    }
}

impl Clone for Waiters {
    fn clone(&self) -> Self {
        Self { id: 1 + self.shared.ids.fetch_add(1, Ordering::Relaxed), shared: self.shared.clone() }
    }
}

impl Drop for Waiters {
    fn drop(&mut self) {
        self.shared.wakers().retain(|(id, _)| *id != self.id);
    }
}

impl Waiters {
    /// Wakes all who wait, after the ring was changed.
    #[inline]
    pub(super) fn wake(&self) {
        fence(Ordering::SeqCst);
        if self.shared.is_any.load(Ordering::Relaxed) {
            self.shared.wake_all();
        }
    }

    /// Has this one woken by this waker, in place of one before. The ring has to be looked at once more afterwards.
    pub(super) fn register(&self, waker: &Waker) {
        let mut wakers = self.shared.wakers();
        match wakers.iter_mut().find(|(id, _)| *id == self.id) {
            Some((_, known)) => known.clone_from(waker),
            None => wakers.push((self.id, waker.clone())),
        }
        self.shared.is_any.store(true, Ordering::Relaxed);
        drop(wakers);
        fence(Ordering::SeqCst);
    }

    /// Asks `ready` until it gives something, and has the thread sleep in between until the job wakes it; at most until
    /// the deadline.
    pub(super) fn wait<R>(&self, deadline: Option<Instant>, mut ready: impl FnMut() -> Option<R>) -> Option<R> {
        // Parking and waking take some microseconds, which is longer than the other end mostly needs.
        let backoff = crossbeam_utils::Backoff::new();
        let mut waker = None;
        loop {
            if let Some(found) = ready() {
                return Some(found);
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return None;
            }
            if !backoff.is_completed() {
                backoff.snooze();
                continue;
            }
            self.register(waker.get_or_insert_with(thread_waker));
            if let Some(found) = ready() {
                return Some(found);
            }
            match left {
                Some(left) => std::thread::park_timeout(left),
                None => std::thread::park(),
            }
        }
    }
}

/// Wakes all who wait when the job lets go of its end: it stands behind that end in a struct, and so is dropped after it.
pub(super) struct WakesOnDrop(pub(super) Waiters);

impl Drop for WakesOnDrop {
    fn drop(&mut self) {
        self.0.wake();
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn thread_waker() -> Waker {
    Waker::from(Arc::new(Unpark(std::thread::current())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_wake_up_is_lost() {
        for _ in 0..50 {
            let (waiters, number) = (Waiters::default(), Arc::new(AtomicUsize::new(0)));
            let (theirs, seen) = (waiters.clone(), number.clone());
            let waiting = std::thread::spawn(move || {
                let deadline = Some(Instant::now() + Duration::from_secs(60));
                (1..=100).all(|next| {
                    theirs.wait(deadline, || (seen.load(Ordering::Relaxed) >= next).then_some(())).is_some()
                })
            });
            for pause in 0..100u32 {
                (0..pause % 7 * 300).for_each(|_| std::hint::spin_loop());
                number.fetch_add(1, Ordering::Relaxed);
                waiters.wake();
            }
            assert!(waiting.join().unwrap(), "a thread was not woken");
        }
    }

    #[test]
    fn who_waits_twice_is_woken_once_and_those_who_do_not_wait_are_not() {
        struct Count(AtomicUsize);
        impl Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let (waiters, waker) = (Waiters::default(), Waker::from(count.clone()));
        for woken in 1..=2 {
            waiters.register(&waker);
            waiters.register(&waker);
            waiters.wake();
            waiters.wake();
            assert_eq!(count.0.load(Ordering::Relaxed), woken);
        }
        // A clone is another one, and who is gone is forgotten.
        let (other, gone) = (waiters.clone(), waiters.clone());
        [&waiters, &other, &gone].iter().for_each(|waiters| waiters.register(&waker));
        drop(gone);
        drop(WakesOnDrop(other.clone()));
        assert_eq!(count.0.load(Ordering::Relaxed), 4);
    }

    #[test]
    fn a_wait_ends_at_its_deadline() {
        let mut asked = 0;
        let none = Waiters::default().wait(Some(Instant::now() + Duration::from_millis(2)), || {
            asked += 1;
            None::<()>
        });
        assert!(none.is_none() && asked > 0);
    }
}
