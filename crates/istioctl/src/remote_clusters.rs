//! `remote-clusters`: the clusters that each instance of the control plane reads (as istioctl/pkg/proxyconfig/clusters.go).

use anyhow::Context as _;
use serde::Deserialize;

use crate::args::{Global, RemoteClusters};
use crate::plane::instances;
use crate::print::Columns;

/// A cluster, as `/debug/clusterz` tells of it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Status {
    id: String,
    secret_name: String,
    sync_status: String,
}

/// `istioctl remote-clusters`: the text to print.
///
/// # Errors
/// If there is no control plane, or one of them does not answer.
pub async fn run(args: &RemoteClusters, global: &Global) -> anyhow::Result<String> {
    let mut answers = Vec::new();
    for instance in instances(global, &args.central).await? {
        let page = instance.endpoint.get("/debug/clusterz", args.central.timeout).await?;
        let statuses: Vec<Status> = serde_json::from_slice(&page)
            .with_context(|| format!("{}/debug/clusterz is not what was expected", instance.endpoint))?;
        answers.push((instance.id, instance.revision, statuses));
    }
    Ok(table(answers))
}

fn table(mut answers: Vec<(String, String, Vec<Status>)>) -> String {
    answers.sort_by(|a, b| a.0.cmp(&b.0));
    let mut table = Columns::new(5);
    table.row(["NAME", "SECRET", "STATUS", "ISTIOD", "REVISION"]);
    for (istiod, revision, statuses) in &answers {
        for status in statuses {
            table.row([&*status.id, &*status.secret_name, &*status.sync_status, istiod, revision]);
        }
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use super::{Status, table};

    #[test]
    fn the_table_is_upstreams_sorted_by_instance() {
        let read = |text: &str| serde_json::from_str::<Vec<Status>>(text).unwrap();
        let here = read(r#"[{"id":"c1","secretName":"","syncStatus":"synced"}]"#);
        let there = read(
            r#"[{"id":"c1","secretName":"","syncStatus":"synced"},
                {"id":"c2","secretName":"istio-system/istio-remote-secret-c2","syncStatus":"timeout"}]"#,
        );
        let text =
            table(vec![("istiod-b".into(), "v2".into(), here), ("istiod-a".into(), "default".into(), there)]);
        let expected = "\
NAME     SECRET                                  STATUS      ISTIOD       REVISION
c1                                               synced      istiod-a     default
c2       istio-system/istio-remote-secret-c2     timeout     istiod-a     default
c1                                               synced      istiod-b     v2
";
        assert_eq!(text, expected);
    }
}
