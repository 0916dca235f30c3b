//! The product page's HTML.

use std::fmt::Write as _;

use axum::http::StatusCode;
use serde_json::{Value, json};

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem;color:#223}\
nav{display:flex;justify-content:space-between;background:#234;color:#fff;padding:.6rem 1rem;border-radius:.4rem}\
nav a,nav button{color:#fff;background:none;border:0;font:inherit;cursor:pointer;text-decoration:underline}\
table{border-collapse:collapse}td,th{padding:.3rem 1rem .3rem 0;text-align:left}\
blockquote{border-left:4px solid #89a;margin:1rem 0;padding:.2rem 1rem}.error{color:#b00}small{color:#678}";

/// The one product of the shop.
pub(super) fn product() -> Value {
    json!({
        "id": 0,
        "title": "The Comedy of Errors",
        "descriptionHtml": "One of <b>Shakespeare's</b> earliest and shortest plays: two pairs of twins, one town, \
                            and nobody who is who the others think.",
    })
}

fn document(body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1.0\">\n\
         <title>Simple Bookstore App</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )
}

/// The page at `/`.
pub(super) fn index() -> String {
    document(
        "<h1>BookInfo Sample</h1>\n<p>Four services, six workloads, every call with mutual TLS.</p>\n\
         <ul>\n<li><a href=\"/productpage\">The page</a></li>\n\
         <li><a href=\"/productpage?u=test\">The page, as a test user</a></li>\n</ul>\n",
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn shown(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| if value.is_null() { String::new() } else { escape(&value.to_string()) }, escape)
}

/// The page at `/productpage`, made of what details and reviews answered.
pub(super) fn render(
    details: (StatusCode, &Value),
    reviews: (StatusCode, &Value),
    user: Option<&str>,
) -> String {
    let product = product();
    let mut body = "<nav><span>BookInfo Sample</span>".to_owned();
    match user {
        Some(user) => {
            let _ = write!(body, "<span>{} <a href=\"logout\">Sign out</a></span>", escape(user));
        }
        None => body.push_str(
            "<form method=\"post\" action=\"login\" name=\"login_form\"><input name=\"username\" \
             placeholder=\"user name\" required> <button type=\"submit\">Sign in</button></form>",
        ),
    }
    let _ = writeln!(
        body,
        "</nav>\n<h1>{}</h1>\n<p>{}</p>",
        shown(&product["title"]),
        product["descriptionHtml"].as_str().unwrap_or_default()
    );
    details_section(details, &mut body);
    reviews_section(reviews, &mut body);
    document(&body)
}

fn details_section((status, details): (StatusCode, &Value), body: &mut String) {
    if !status.is_success() {
        let _ = writeln!(
            body,
            "<h4 class=\"error\">Error fetching product details</h4>\n<p>{}</p>",
            shown(&details["error"])
        );
        return;
    }
    body.push_str("<h4>Book Details</h4>\n<table>\n");
    for (name, field) in [
        ("ISBN-10", "ISBN-10"),
        ("Publisher", "publisher"),
        ("Pages", "pages"),
        ("Type", "type"),
        ("Language", "language"),
    ] {
        let _ = writeln!(body, "<tr><th>{name}</th><td>{}</td></tr>", shown(&details[field]));
    }
    body.push_str("</table>\n");
}

fn reviews_section((status, reviews): (StatusCode, &Value), body: &mut String) {
    if !status.is_success() {
        let _ = writeln!(
            body,
            "<h4 class=\"error\">Error fetching product reviews</h4>\n<p>{}</p>",
            shown(&reviews["error"])
        );
        return;
    }
    body.push_str("<h4>Book Reviews</h4>\n");
    for review in reviews["reviews"].as_array().into_iter().flatten() {
        let _ = write!(
            body,
            "<blockquote>\n<p>{}</p>\n<small>{}</small>\n",
            shown(&review["text"]),
            shown(&review["reviewer"])
        );
        let rating = &review["rating"];
        if let Some(stars) = rating["stars"].as_u64() {
            let stars = usize::try_from(stars.min(5)).unwrap_or(5);
            let color = shown(&rating["color"]);
            let _ = writeln!(
                body,
                "<p class=\"stars\" style=\"color:{color}\" aria-label=\"{stars} {color} stars\">{}{}</p>",
                "★".repeat(stars),
                "☆".repeat(5 - stars)
            );
        } else if !rating["error"].is_null() {
            let _ = writeln!(body, "<p class=\"error\"><i>{}</i></p>", shown(&rating["error"]));
        }
        body.push_str("</blockquote>\n");
    }
    let _ = writeln!(body, "<small>Reviews served by: {}</small>", shown(&reviews["podname"]));
}
