//! The kinds of the Gateway API: gateways, routes, the policies attached to them, and inference pools.
//!
//! Values that are words of a list stay strings: a word nobody knows is answered in the status of the object,
//! not refused here. Fields an API server would fill in have accessors that do.

mod gateway;
mod policy;
mod reference;
mod route;

pub use gateway::*;
pub use policy::*;
pub use reference::*;
pub use route::*;
