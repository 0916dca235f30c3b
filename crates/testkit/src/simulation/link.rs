//! One stream between a proxy and the control plane: the session, and what is on its way.

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use xds::server::{Interner, Permit, PushBudget, Session};
use xds::{Response, Variant};

use super::plane::Asked;

/// What becomes of the response under way; one at a time, as in the real stream.
enum Push {
    None,
    Waiting(Box<Response>, usize, Pin<Box<dyn Future<Output = Permit>>>),
    /// The connection is taking it; the permit is given back early if that takes too long.
    Leaving(Option<Permit>, usize),
}

/// A stream.
pub(super) struct Link {
    pub(super) proxy: usize,
    pub(super) session: Session,
    pub(super) asked: RefCell<Asked>,
    push: Push,
    /// Number of the response under way: answers of the transport are about one response.
    pub(super) number: u64,
    /// When the last message of each direction arrives: they keep their order.
    pub(super) down: u64,
    pub(super) up: u64,
    /// Messages on their way, either direction.
    pub(super) flying: usize,
}

/// What a response takes on the wire, about.
fn size(response: &Response) -> usize {
    let resources: usize = response.resources.iter().map(|r| r.body.len() + r.name.len() + 100).sum();
    resources + response.removed.iter().map(|name| name.len() + 4).sum::<usize>() + 64
}

impl Link {
    pub(super) fn new(proxy: usize, variant: Variant, seed: u32, interner: &Arc<Interner>) -> Self {
        Self {
            proxy,
            session: Session::new(variant, seed, interner.clone()),
            asked: RefCell::default(),
            push: Push::None,
            number: 0,
            down: 0,
            up: 0,
            flying: 0,
        }
    }

    /// Whether the next response may be made.
    pub(super) fn is_free(&self) -> bool {
        matches!(self.push, Push::None)
    }

    /// Begins to wait for room.
    pub(super) fn queue(&mut self, response: Response, budget: &PushBudget) {
        let (budget, bytes) = (budget.clone(), size(&response));
        let permit = Box::pin(async move { budget.acquire(bytes).await });
        self.push = Push::Waiting(Box::new(response), bytes, permit);
    }

    /// Hands the waiting response over if there is room for it by now (`force`: even if not).
    pub(super) fn try_leave(&mut self, force: bool) -> Option<Response> {
        let Push::Waiting(_, _, permit) = &mut self.push else { return None };
        let permit = match permit.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(permit) => Some(permit),
            Poll::Pending if force => None,
            Poll::Pending => return None,
        };
        let Push::Waiting(response, bytes, _) = std::mem::replace(&mut self.push, Push::None) else {
            return None;
        };
        self.number += 1;
        self.push = Push::Leaving(permit, bytes);
        Some(*response)
    }

    /// The connection has taken the response.
    pub(super) fn taken(&mut self) {
        if matches!(self.push, Push::Leaving(..)) {
            self.push = Push::None;
        }
    }

    /// The connection is slow: others may have the room.
    pub(super) fn stalled(&mut self) {
        if let Push::Leaving(permit, bytes) = &mut self.push {
            *permit = None;
            *bytes = 0;
        }
    }

    /// Bytes that count as on their way.
    pub(super) fn in_flight(&self) -> usize {
        match &self.push {
            Push::Leaving(_, bytes) => *bytes,
            _ => 0,
        }
    }
}
