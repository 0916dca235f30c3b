//! What is refused, and where the complaint points.

use crate::decode::documents;

fn refused(spec: &str) -> Vec<String> {
    let text = format!("apiVersion: networking.istio.io/v1\nkind: {spec}");
    let decoded = documents("mesh.yaml", &text);
    assert_eq!(decoded.objects.len(), usize::from(decoded.problems.is_empty()), "{:?}", decoded.problems);
    decoded.problems.iter().map(ToString::to_string).collect()
}

#[test]
fn a_route_that_does_nothing_is_refused_where_it_stands() {
    let said =
        refused("VirtualService\nmetadata: {name: a}\nspec:\n  hosts: [a]\n  http:\n  - timeout: 1s\n");
    assert_eq!(said.len(), 1);
    assert!(said[0].starts_with("mesh.yaml:7:5:"), "{}", said[0]);
    assert!(said[0].contains("does nothing"), "{}", said[0]);
}

#[test]
fn weights_that_sum_up_to_nothing_are_refused() {
    let route = "  - route:\n    - destination: {host: a}\n    - destination: {host: b}\n";
    let said =
        refused(&format!("VirtualService\nmetadata: {{name: a}}\nspec:\n  hosts: [a]\n  http:\n{route}"));
    assert!(said.iter().any(|s| s.contains("sum up to 0")), "{said:?}");
}

#[test]
fn two_subsets_of_one_name_are_refused() {
    let said =
        refused("DestinationRule\nmetadata: {name: a}\nspec: {host: a, subsets: [{name: v1}, {name: v1}]}\n");
    assert!(said.iter().any(|s| s.contains("another subset")), "{said:?}");
}

#[test]
fn a_regular_expression_that_envoy_cannot_read_is_refused_where_it_stands() {
    let route = "route: [{destination: {host: a}}]";
    let complaint = |http: &str| {
        let spec = format!(
            "VirtualService\nmetadata: {{name: a}}\nspec:\n  hosts: [a]\n  http:\n  - {http}\n    {route}\n"
        );
        let said = refused(&spec);
        assert_eq!(said.len(), 1, "{http}: {said:?}");
        said[0].clone()
    };
    let said = complaint("match: [{uri: {regex: '('}}]");
    assert!(said.starts_with("mesh.yaml:7:20:"), "{said}");
    assert!(said.contains("spec.http[0].match[0].uri.regex") && said.contains(") is missing"), "{said}");
    assert!(said.contains("RE2"), "{said}");
    for http in [
        "match: [{headers: {x-user: {regex: 'a(?=b)'}}}]",
        "match: [{withoutHeaders: {x-user: {regex: '[z-a]'}}}]",
        "match: [{queryParams: {q: {regex: 'a**'}}}]",
        "match: [{uri: {prefix: /}}, {authority: {regex: '\\1'}}]",
        "corsPolicy: {allowOrigins: [{exact: b}, {regex: '*.example.com'}]}",
        "rewrite: {uriRegexRewrite: {match: '(', rewrite: /}}",
        "match: [{uri: {regex: ''}}]",
    ] {
        complaint(http);
    }
}

#[test]
fn a_star_that_stands_for_any_header_is_no_regular_expression() {
    let said = refused(
        "VirtualService\nmetadata: {name: a}\nspec: {hosts: [a], http: [{match: [{headers: {x: {regex: '*'}}}], \
         route: [{destination: {host: a}}]}]}\n",
    );
    assert_eq!(said, Vec::<String>::new());
}

#[test]
fn what_a_proxy_can_load_is_taken() {
    let said = refused(
        "VirtualService\nmetadata: {name: a}\nspec: {hosts: [a], http: [{route: [{destination: {host: a}}]}]}\n",
    );
    assert_eq!(said, Vec::<String>::new());
}
