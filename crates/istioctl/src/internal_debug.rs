//! `experimental internal-debug`: a debug page of the control plane (as istioctl/pkg/internaldebug).

use anyhow::bail;
use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::{Map, Value};

use crate::args::{Global, InternalDebug};
use crate::commands::infer_pod;
use crate::plane::{Instance, instances};
use crate::print::to_json_indented;

const NOT_CONNECTED: &str =
    "Proxy not connected to this Pilot instance. It may be connected to another instance.";

/// `istioctl experimental internal-debug`: the text to print.
///
/// # Errors
/// If no control plane answers, or the page wants a proxy and none was named.
pub async fn run(args: &InternalDebug, global: &Global) -> anyhow::Result<String> {
    let instances = instances(global, &args.central).await?;
    let page = match &args.page {
        Some(page) if !args.list => page_of(page, args.proxy.as_deref(), &global.namespace),
        _ => "list".to_owned(),
    };
    let mut answers = Vec::new();
    for instance in &instances {
        let (status, body) = asked(instance, &page, args).await?;
        let text = String::from_utf8_lossy(&body).into_owned();
        match status {
            StatusCode::BAD_REQUEST if text.contains("You must provide a proxyID") => {
                bail!(
                    "you must provide a proxyID in the query string, e.g. edsz?proxyID=istio-ingressgateway"
                )
            }
            StatusCode::NOT_FOUND if text.contains("404 page not found") => {
                let list = asked(instance, "list", args).await?.1;
                bail!(
                    "there is no debug page {page:?}; the supported ones are: {}",
                    shown(&String::from_utf8_lossy(&list))
                )
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                bail!("{} does not show {page:?} to you: {status}", instance.endpoint)
            }
            // others may know the proxy
            _ if !args.all && text.contains(NOT_CONNECTED) => continue,
            _ => answers.push((instance.id.clone(), text)),
        }
        if !args.all {
            break;
        }
    }
    Ok(match args.all {
        true => of_all(answers),
        false => answers.first().map_or_else(|| format!("{NOT_CONNECTED}\n"), |(_, text)| shown(text) + "\n"),
    })
}

async fn asked(instance: &Instance, page: &str, args: &InternalDebug) -> anyhow::Result<(StatusCode, Bytes)> {
    let path = format!("/debug/{page}");
    Ok(instance.endpoint.send(Method::GET, &path, Bytes::new(), args.central.timeout).await?)
}

/// The page with its query; a proxy that is named apart becomes a part of it.
fn page_of(page: &str, proxy: Option<&str>, namespace: &str) -> String {
    let page = page.trim_start_matches('/').trim_start_matches("debug/");
    let Some(proxy) = proxy else { return page.to_owned() };
    let (name, namespace) = infer_pod(proxy, namespace);
    let name = name.rsplit('/').next().unwrap_or_default();
    let separator = if page.contains('?') { '&' } else { '?' };
    let dot = if namespace.is_empty() { "" } else { "." };
    format!("{page}{separator}proxyID={name}{dot}{namespace}")
}

/// JSON indented, anything else as it is.
fn shown(text: &str) -> String {
    serde_json::from_str::<Value>(text)
        .map_or_else(|_| text.trim_end().to_owned(), |value| to_json_indented(&value, b"  "))
}

fn of_all(answers: Vec<(String, String)>) -> String {
    let value = |text: String| serde_json::from_str(&text).unwrap_or_else(|_| Value::from(text.trim_end()));
    let map: Map<String, Value> = answers.into_iter().map(|(id, text)| (id, value(text))).collect();
    if map.is_empty() { String::new() } else { to_json_indented(&map.into(), b"  ") + "\n" }
}

#[cfg(test)]
mod tests {
    use super::{of_all, page_of, shown};

    #[test]
    fn a_page_is_named_with_its_query_or_with_a_proxy() {
        assert_eq!(page_of("syncz", None, "x"), "syncz");
        assert_eq!(page_of("/debug/edsz?proxyID=a", None, ""), "edsz?proxyID=a");
        assert_eq!(page_of("edsz", Some("a.shop"), ""), "edsz?proxyID=a.shop");
        assert_eq!(
            page_of("config_dump?types=cds", Some("deploy/a"), "shop"),
            "config_dump?types=cds&proxyID=a.shop"
        );
        assert_eq!(page_of("edsz", Some("a"), ""), "edsz?proxyID=a");
    }

    #[test]
    fn what_is_no_json_is_shown_as_it_is() {
        assert_eq!(shown("Pushed to 3 servers\n"), "Pushed to 3 servers");
        assert_eq!(shown("{\"a\":[1]}\n"), "{\n  \"a\": [\n    1\n  ]\n}");
        let all = of_all(vec![("istiod-1".into(), "{\"a\":1}".into()), ("istiod-2".into(), "text\n".into())]);
        assert_eq!(all, "{\n  \"istiod-1\": {\n    \"a\": 1\n  },\n  \"istiod-2\": \"text\"\n}\n");
    }
}
