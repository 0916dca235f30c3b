//! Steady requests from two callers, each answer looked at; what failed is kept.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::stage::{PATIENCE, eventually, reviewer};

/// Nobody waits longer for what happens under traffic.
const AT_MOST: Duration = Duration::from_secs(300);

/// Requests that are going on.
pub(crate) struct Traffic {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    failed: Arc<Mutex<Vec<String>>>,
    callers: Vec<JoinHandle<()>>,
}

impl Traffic {
    /// Starts asking for reviews through the gateway.
    pub(crate) fn start(gateway: &str) -> Self {
        let mut traffic = Self {
            stop: Arc::default(),
            answered: Arc::default(),
            failed: Arc::default(),
            callers: Vec::new(),
        };
        for _ in 0..2 {
            let (stop, answered, failed) =
                (traffic.stop.clone(), traffic.answered.clone(), traffic.failed.clone());
            let gateway = gateway.to_owned();
            let deadline = Instant::now() + AT_MOST;
            traffic.callers.push(std::thread::spawn(move || {
                while !stop.load(Ordering::SeqCst) && Instant::now() < deadline {
                    if let Err(error) = reviewer(&gateway) {
                        failed.lock().unwrap().push(error);
                    }
                    answered.fetch_add(1, Ordering::SeqCst);
                    std::thread::park_timeout(Duration::from_millis(5));
                }
            }));
        }
        traffic
    }

    /// Waits until this many more requests have been answered.
    pub(crate) fn await_answers(&self, more: usize) {
        let until = self.answered.load(Ordering::SeqCst) + more;
        eventually("requests are answered", PATIENCE, || self.answered.load(Ordering::SeqCst) >= until);
    }

    /// Ends it: what failed.
    pub(crate) fn stop(mut self) -> Vec<String> {
        self.stop.store(true, Ordering::SeqCst);
        for caller in self.callers.drain(..) {
            caller.join().unwrap();
        }
        std::mem::take(&mut self.failed.lock().unwrap())
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}
