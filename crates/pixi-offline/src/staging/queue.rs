//! A queue of tasks, last in first out, whose tasks may add others.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use crate::parallel::locked;

/// The tasks that nobody has begun. The last added is taken first, so that few
/// of them wait at a time, however large the tree is.
pub(super) struct Queue<T> {
    state: Mutex<QueueState<T>>,
    news: Condvar,
    stopped: AtomicBool,
}

struct QueueState<T> {
    waiting: Vec<T>,
    /// Threads with a task in hand: each may add more.
    busy: usize,
}

impl<T> Queue<T> {
    pub(super) fn new(first: T) -> Queue<T> {
        Queue {
            state: Mutex::new(QueueState {
                waiting: vec![first],
                busy: 0,
            }),
            news: Condvar::new(),
            stopped: AtomicBool::new(false),
        }
    }

    /// Adds tasks, and leaves `tasks` empty.
    pub(super) fn add(&self, tasks: &mut Vec<T>) {
        let added = tasks.len();
        if added > 0 {
            locked(&self.state).waiting.append(tasks);
        }
        match added {
            0 => {}
            1 => self.news.notify_one(),
            _ => self.news.notify_all(),
        }
    }

    /// Does tasks until none is left and no thread can add one any more.
    pub(super) fn work(&self, mut act: impl FnMut(T)) {
        while let Some(task) = self.take() {
            let busy = TaskGuard(self);
            act(task);
            drop(busy);
        }
    }

    /// Has every thread end after what it has in hand.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        locked(&self.state).waiting.clear();
        self.news.notify_all();
    }

    /// Whether the work was stopped; whoever is in a long task looks now and then.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    fn take(&self) -> Option<T> {
        let mut state = locked(&self.state);
        loop {
            if self.is_stopped() {
                return None;
            }
            if let Some(task) = state.waiting.pop() {
                state.busy += 1;
                return Some(task);
            }
            if state.busy == 0 {
                return None;
            }
            state = self
                .news
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A task in hand. Dropped, also by a panic, it is done: else the others would
/// wait for it for ever.
struct TaskGuard<'a, T>(&'a Queue<T>);

impl<T> Drop for TaskGuard<'_, T> {
    fn drop(&mut self) {
        let mut state = locked(&self.0.state);
        state.busy -= 1;
        if state.busy == 0 && state.waiting.is_empty() {
            self.0.news.notify_all();
        }
    }
}
