//! Broken control planes: each breaks one promise, and the simulation must notice.

/// A way to be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sabotage {
    /// Clusters are declared gone before the routes that mention them have changed.
    RemoveFirst,
    /// One response in eight is lost, and nobody knows.
    LoseResponses,
    /// Everything of a type is sent again with each change.
    ResendAll,
    /// The generator is not told of one commit in three.
    ForgetCommits,
    /// Connections are not woken again for an answer from an old world, nor by what a commit flagged.
    IgnoreStale,
    /// Responses go out without waiting for room.
    IgnoreBudget,
    /// The last virtual host of each response is left out.
    WithholdHosts,
    /// What a complete list does not have any more stays.
    KeepUnlisted,
    /// A list that ended half way is taken for a complete one.
    BelieveHalves,
    /// Of what two watches tell before a commit, only the later is committed.
    ForgetEarlier,
}

impl Sabotage {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::RemoveFirst,
        Self::LoseResponses,
        Self::ResendAll,
        Self::ForgetCommits,
        Self::IgnoreStale,
        Self::IgnoreBudget,
        Self::WithholdHosts,
        Self::KeepUnlisted,
        Self::BelieveHalves,
        Self::ForgetEarlier,
    ];
}
