//! Which clusters are read, how far, and how each is asked; for those who do not read them themselves.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::Client;
use tokio::sync::watch;

/// How far reading another cluster is, in the words of upstream (pkg/kube/multicluster/cluster.go).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Its objects are in the mesh.
    Synced,
    /// Not all of them are known yet.
    Syncing,
    /// Not all of them are known, and nobody waits for it any longer.
    Timeout,
}

impl State {
    /// Every state, with the one of a cluster that is no longer read.
    pub const WORDS: [&'static str; 4] = ["synced", "syncing", "timeout", "closed"];

    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Synced => "synced",
            Self::Syncing => "syncing",
            Self::Timeout => "timeout",
        }
    }
}

/// Another cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Its id.
    pub id: Arc<str>,
    /// `namespace/name` of the Secret that names it.
    pub secret: Arc<str>,
    /// How far it is.
    pub state: State,
}

/// The clusters of the present moment. Cheap to clone.
#[derive(Clone)]
pub struct Directory(Arc<Shared>);

struct Shared {
    own: Arc<str>,
    client: Client,
    others: watch::Sender<BTreeMap<Arc<str>, Other>>,
}

/// Another cluster, and who answers for it.
#[derive(Clone)]
pub struct Other {
    /// What is to be told of it.
    pub status: Status,
    /// A number that is another one when it is reached in another way.
    pub number: u64,
    /// Who answers; `None` if nobody can be asked.
    pub client: Option<Client>,
}

impl Other {
    fn differs(&self, from: &Self) -> bool {
        (&self.status, self.number) != (&from.status, from.number)
    }
}

impl std::fmt::Debug for Directory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Directory").field(&self.0.own).field(&self.others()).finish()
    }
}

impl Directory {
    pub(crate) fn new(own: Arc<str>, client: Client) -> Self {
        Self(Arc::new(Shared { own, client, others: watch::Sender::default() }))
    }

    pub(crate) fn set(&self, others: impl Iterator<Item = Other>) {
        let others: BTreeMap<Arc<str>, Other> =
            others.map(|other| (other.status.id.clone(), other)).collect();
        self.0.others.send_if_modified(|old| {
            let same = old.len() == others.len()
                && old.iter().zip(&others).all(|((a, old), (b, new))| a == b && !old.differs(new));
            if !same {
                *old = others;
            }
            !same
        });
    }

    /// The others, now and whenever something of them is different.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<BTreeMap<Arc<str>, Other>> {
        self.0.others.subscribe()
    }

    /// The id of our own cluster.
    #[must_use]
    pub fn own(&self) -> &Arc<str> {
        &self.0.own
    }

    /// Who answers for a cluster; `None` if it is not one of ours.
    #[must_use]
    pub fn client(&self, cluster: &str) -> Option<Client> {
        if *cluster == *self.0.own {
            return Some(self.0.client.clone());
        }
        self.0.others.borrow().get(cluster)?.client.clone()
    }

    /// The others, by id.
    #[must_use]
    pub fn others(&self) -> Vec<Status> {
        self.0.others.borrow().values().map(|other| other.status.clone()).collect()
    }
}
