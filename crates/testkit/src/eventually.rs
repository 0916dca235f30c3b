//! Waiting for a condition of another task or process, with an end.

use std::time::Duration;

/// How long the condition is left alone between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// Looks until `look` gives something. The looks are spread over `deadline`.
///
/// # Errors
/// `what`, in words, when the deadline has passed.
pub async fn eventually<T>(
    what: &str,
    deadline: Duration,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> Result<T, String> {
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    let found = tokio::time::timeout(deadline, looking).await;
    found.map_err(|_| format!("{what}: not so after {deadline:?}"))
}
