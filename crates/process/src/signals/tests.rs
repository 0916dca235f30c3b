//! Tests of the signals; they signal only this test process.

use nix::sys::signal::{Signal, raise};

use super::{Signals, Stop};

#[tokio::test]
async fn the_second_signal_is_hard() {
    let mut signals = Signals::install().unwrap();
    raise(Signal::SIGTERM).unwrap();
    assert_eq!(signals.next().await, Stop::Graceful("SIGTERM"));
    raise(Signal::SIGINT).unwrap();
    assert_eq!(signals.next().await, Stop::Hard("SIGINT"));
}
