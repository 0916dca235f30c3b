//! The client side: single streams, a client that reconnects, and a relay that does not look inside.

mod delta;
pub mod dial;
pub mod relay;
mod stream;
pub mod wire;

pub use delta::{Client, Config, Event, Headers};
pub use stream::Stream;
