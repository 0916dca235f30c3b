//! Tests of the budget.

use std::task::Poll;

use futures_util::poll;

use super::*;

#[tokio::test]
async fn a_response_larger_than_the_budget_waits_for_all_of_it_and_no_longer() {
    let budget = PushBudget::new(4096, 0);
    let small = budget.acquire(1).await;
    assert_eq!(budget.in_flight(), 1024);
    let mut large = std::pin::pin!(budget.acquire(1 << 30));
    assert!(poll!(&mut large).is_pending());
    let mut later = std::pin::pin!(budget.acquire(1));
    assert!(poll!(&mut later).is_pending(), "a small one does not overtake");
    drop(small);
    let Poll::Ready(large) = poll!(&mut large) else { panic!("there is room") };
    assert_eq!(budget.in_flight(), budget.size());
    drop(large);
    assert!(poll!(&mut later).is_ready());
}

#[tokio::test]
async fn as_many_responses_are_under_way_as_there_are_turns() {
    let budget = PushBudget::new(1 << 20, 2);
    let first = budget.acquire(1).await;
    let _second = budget.acquire(1).await;
    let mut third = std::pin::pin!(budget.acquire(1));
    assert!(poll!(&mut third).is_pending(), "there are bytes, but no turn");
    drop(first);
    assert!(poll!(&mut third).is_ready());
}
