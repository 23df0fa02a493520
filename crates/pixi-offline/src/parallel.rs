//! Work spread over the processors.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a mutex holds; a thread that panicked with it has left it whole.
pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// More threads than this only wait for the file system's own locks.
const MOST_THREADS: usize = 16;

/// Has as many threads work as there are processors, and gives what each of them
/// has at its end.
pub fn on_all_cores<R: Send>(work: impl Fn() -> R + Sync) -> Vec<R> {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads.min(MOST_THREADS))
            // A thread that the system refuses is one that is not there.
            .map_while(|_| std::thread::Builder::new().spawn_scoped(scope, &work).ok())
            .collect();
        let mut results = vec![work()];
        for other in others {
            match other.join() {
                Ok(result) => results.push(result),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        results
    })
}

/// What a function gives for each item, in their order.
pub fn par_map<T: Sync, R: Send>(
    items: impl IntoIterator<Item = T>,
    act: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let items: Vec<T> = items.into_iter().collect();
    let next = AtomicUsize::new(0);
    let mut results: Vec<(usize, R)> = on_all_cores(|| {
        let mut results = Vec::new();
        // Each takes the next item, so that one large item does not delay the others.
        while let Some((index, item)) = {
            let index = next.fetch_add(1, Ordering::Relaxed);
            items.get(index).map(|item| (index, item))
        } {
            results.push((index, act(item)));
        }
        results
    })
    .into_iter()
    .flatten()
    .collect();
    results.sort_unstable_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

/// What two functions give that work side by side.
pub fn both<A, B: Send>(one: impl FnOnce() -> A, other: impl FnOnce() -> B + Send) -> (A, B) {
    std::thread::scope(|scope| {
        let other = scope.spawn(other);
        let one = one();
        match other.join() {
            Ok(other) => (one, other),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn results_come_in_the_order_of_the_items() {
        let items: Vec<u64> = (0..1000).collect();
        let squares: Vec<u64> = items.iter().map(|item| item * item).collect();
        assert_eq!(super::par_map(items, |item| item * item), squares);
        assert!(super::par_map([0; 0], |item| *item).is_empty());
    }

    #[test]
    fn two_functions_work_at_the_same_time_and_both_results_come() {
        let (say, hear) = std::sync::mpsc::channel();
        // The first waits for what the other one says.
        let both = super::both(|| hear.recv(), || say.send(7).is_ok());
        assert_eq!(both, (Ok(7), true));
    }
}
