//! Gentle traffic through the gateway, so that there is something to see.

use std::time::Duration;

use http::Method;

use crate::fetch::Fetcher;

/// Requests `url` `rate` times a second until aborted. The answers are the proxies' business: they count them.
pub(super) fn start(url: String, rate: f64) -> Option<tokio::task::JoinHandle<()>> {
    if !(rate.is_finite() && rate > 0.0) {
        return None;
    }
    let period = Duration::from_secs_f64((1.0 / rate).clamp(0.000_1, 3600.0));
    Some(tokio::spawn(async move {
        let fetcher = Fetcher::new(Duration::from_secs(10));
        let mut tick = tokio::time::interval(period);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        // as many at a time as one mesh with a slow service needs, not more
        let slots = std::sync::Arc::new(tokio::sync::Semaphore::new(64));
        loop {
            tick.tick().await;
            let Ok(slot) = slots.clone().try_acquire_owned() else { continue };
            let (fetcher, url) = (fetcher.clone(), url.clone());
            tokio::spawn(async move {
                let _ = fetcher.answer(Method::GET, &url, &[("user-agent", "istioctl-up")]).await;
                drop(slot);
            });
        }
    }))
}
