//! `proxy-config secret`: certificates a proxy holds, their state and validity.

use base64::Engine as _;
use serde_json::Value;
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, Pem, X509Certificate};

use super::dump::{Dump, DumpError, plain};
use super::fields::{list, path, text};
use crate::print::Columns;

/// One certificate (or trust bundle) of a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretItem {
    /// The secret's name: `default`, `ROOTCA`, ...
    pub name: String,
    /// `ACTIVE` or `WARMING`.
    pub state: &'static str,
    /// What is known of the certificate; nothing if there is none or it cannot be read.
    pub certificate: Option<CertificateFacts>,
    /// The trust domain of a bundle, or of the certificate's SPIFFE id; empty if unknown.
    pub trust_domain: String,
}

/// The readable part of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// `CA` or `Cert Chain`.
    pub kind: &'static str,
    /// 32 hexadecimal digits at least.
    pub serial: String,
    /// Unix seconds.
    pub not_before: i64,
    /// Unix seconds.
    pub not_after: i64,
}

impl CertificateFacts {
    fn valid_at(&self, now: i64) -> bool {
        self.not_before < now && now < self.not_after
    }
}

/// Every active and warming secret, the warming ones first.
///
/// # Errors
/// If the dump has no section of secrets.
pub fn secret_items(dump: &Dump) -> Result<Vec<SecretItem>, DumpError> {
    let section = dump.section("SecretsConfigDump")?;
    let mut items = Vec::new();
    for (place, state) in [("dynamic_warming_secrets", "WARMING"), ("dynamic_active_secrets", "ACTIVE")] {
        for secret in list(section, place) {
            items.extend(read(secret, state));
        }
    }
    Ok(items)
}

fn read(entry: &Value, state: &'static str) -> Vec<SecretItem> {
    let name = text(entry, "name").to_owned();
    let secret = path(entry, "secret");
    let chain = text(secret, "tls_certificate.certificate_chain.inline_bytes");
    let root = text(secret, "validation_context.trusted_ca.inline_bytes");
    let inline = if chain.is_empty() { root } else { chain };
    let validator = path(secret, "validation_context.custom_validator_config.typed_config");
    let bundles = list(validator, "trust_domains");
    if inline.is_empty() && text(validator, "@type").ends_with("SPIFFECertValidatorConfig") {
        return bundles
            .iter()
            .map(|bundle| {
                let data = text(bundle, "trust_bundle.inline_bytes");
                let certificate = decode(data).map(|(facts, _)| facts);
                SecretItem {
                    name: name.clone(),
                    state,
                    certificate,
                    trust_domain: text(bundle, "name").to_owned(),
                }
            })
            .collect();
    }
    let (certificate, trust_domain) = decode(inline).map_or((None, String::new()), |(f, d)| (Some(f), d));
    vec![SecretItem { name, state, certificate, trust_domain }]
}

/// The first certificate of base64 of PEM, and the trust domain of its SPIFFE id.
fn decode(inline: &str) -> Option<(CertificateFacts, String)> {
    let pem = base64::engine::general_purpose::STANDARD.decode(inline).ok()?;
    let block = Pem::iter_from_buffer(&pem).next()?.ok()?;
    let (_, certificate) = X509Certificate::from_der(&block.contents).ok()?;
    let mut domain = String::new();
    for extension in certificate.extensions() {
        if let ParsedExtension::SubjectAlternativeName(names) = extension.parsed_extension() {
            for name in &names.general_names {
                if let GeneralName::URI(uri) = name
                    && let Some(rest) = uri.strip_prefix("spiffe://")
                {
                    domain = rest.split('/').next().unwrap_or_default().to_owned();
                }
            }
        }
    }
    let facts = CertificateFacts {
        kind: if certificate.is_ca() { "CA" } else { "Cert Chain" },
        serial: format!("{:0>32}", certificate.tbs_certificate.serial.to_str_radix(16)),
        not_before: certificate.validity().not_before.timestamp(),
        not_after: certificate.validity().not_after.timestamp(),
    };
    Some((facts, domain))
}

/// The table of secrets; `named` prefixes names with `secret/` as `all` does.
///
/// # Errors
/// If the dump has no section of secrets.
pub fn secret_summary(dump: &Dump, named: bool) -> Result<String, DumpError> {
    let items = secret_items(dump)?;
    if items.is_empty() {
        return Ok("No active or warming secrets found.\n".to_owned());
    }
    Ok(table(&items, named, jiff::Timestamp::now().as_second()))
}

pub(super) fn table(items: &[SecretItem], named: bool, now: i64) -> String {
    // trust domains only where all are known: then this is about federation
    let domains = items.iter().all(|item| !item.trust_domain.is_empty());
    let mut header =
        vec!["RESOURCE NAME", "TYPE", "STATUS", "VALID CERT", "SERIAL NUMBER", "NOT AFTER", "NOT BEFORE"];
    if domains {
        header.push("TRUST DOMAIN");
    }
    let mut table = Columns::new(5);
    table.row(header);
    for item in items {
        let name = if named { format!("secret/{}", item.name) } else { item.name.clone() };
        let facts = item.certificate.as_ref();
        let mut row = vec![
            name,
            facts.map_or("", |f| f.kind).to_owned(),
            item.state.to_owned(),
            facts.is_some_and(|f| f.valid_at(now)).to_string(),
            facts.map(|f| f.serial.clone()).unwrap_or_default(),
            facts.map(|f| rfc3339(f.not_after)).unwrap_or_default(),
            facts.map(|f| rfc3339(f.not_before)).unwrap_or_default(),
        ];
        if domains {
            row.push(item.trust_domain.clone());
        }
        table.row(row);
    }
    table.render()
}

fn rfc3339(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map(|t| t.to_string()).unwrap_or_default()
}

/// The section in full (Envoy itself redacts private keys).
///
/// # Errors
/// If the dump has no section of secrets.
pub fn secret_dump(dump: &Dump) -> Result<Value, DumpError> {
    dump.section("SecretsConfigDump").map(plain)
}
