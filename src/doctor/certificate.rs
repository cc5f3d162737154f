//! The names, issuer and dates of a certificate, and the middleboxes that are known by their issuer.

use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use crate::{
    tls::certificate::{date, one_line},
    track::redact,
};

/// What is shown of a certificate.
#[derive(Clone, Debug)]
pub(super) struct CertificateSummary {
    /// The subject names, at most three.
    pub names: String,
    /// Who signed it.
    pub issuer: String,
    /// Seconds since 1970.
    pub not_before: i64,
    /// Seconds since 1970.
    pub not_after: i64,
}

/// Reads a certificate; `None` where `der` is not one.
pub(super) fn read(der: &CertificateDer<'_>) -> Option<CertificateSummary> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let extension = certificate.subject_alternative_name().ok().flatten();
    let names: Vec<String> = extension
        .iter()
        .flat_map(|extension| &extension.value.general_names)
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(redact::escaped(name).into_owned()),
            _ => None,
        })
        .collect();
    let listed = match names.len() {
        0 => one_line(certificate.subject()),
        1..=3 => names.join(", "),
        more => format!("{} and {} more", names.get(..2)?.join(", "), more - 2),
    };
    Some(CertificateSummary {
        names: listed,
        issuer: one_line(certificate.issuer()),
        not_before: certificate.validity().not_before.timestamp(),
        not_after: certificate.validity().not_after.timestamp(),
    })
}

/// Words in the issuer of a certificate, in lower case, and the product that signs so.
const MIDDLEBOXES: &[(&str, &str)] = &[
    (
        "gitferry local ca",
        "a gitferry daemon, this one or another on the path",
    ),
    ("fortinet", "a Fortinet firewall"),
    ("fortigate", "a Fortinet firewall"),
    ("zscaler", "Zscaler"),
    ("palo alto", "a Palo Alto firewall"),
    ("netskope", "Netskope"),
    ("blue coat", "a Blue Coat proxy"),
    ("bluecoat", "a Blue Coat proxy"),
    ("cisco umbrella", "Cisco Umbrella"),
    ("cisco secure access", "Cisco Secure Access"),
    ("forcepoint", "a Forcepoint proxy"),
    ("websense", "a Forcepoint proxy"),
    ("sophos", "a Sophos firewall"),
    ("check point", "a Check Point firewall"),
    ("watchguard", "a WatchGuard firewall"),
    ("sonicwall", "a SonicWall firewall"),
    ("barracuda", "a Barracuda firewall"),
    ("mcafee", "a McAfee/Skyhigh web gateway"),
    ("skyhigh", "a McAfee/Skyhigh web gateway"),
    ("sangfor", "a Sangfor firewall"),
    ("hillstone", "a Hillstone firewall"),
    ("cloudflare gateway", "Cloudflare's gateway"),
    ("kaspersky", "Kaspersky's virus scanner"),
    ("eset ssl filter", "ESET's virus scanner"),
    ("avast", "Avast's virus scanner"),
    ("avg technologies", "AVG's virus scanner"),
    ("bitdefender", "Bitdefender's virus scanner"),
    ("adguard", "AdGuard"),
    ("mitmproxy", "mitmproxy"),
    ("charles proxy", "Charles"),
    ("fiddler", "Fiddler"),
    ("burp", "Burp"),
    ("squid", "a squid with ssl-bump"),
    ("dev-sidecar", "dev-sidecar"),
    ("steamtools", "Watt Toolkit (Steam++)"),
    ("fastgithub", "FastGithub"),
];

/// The product that inspects TLS, where its issuer is known.
pub(super) fn middlebox(issuer: &str) -> Option<&'static str> {
    let issuer = issuer.to_ascii_lowercase();
    MIDDLEBOXES
        .iter()
        .find(|(word, _)| issuer.contains(word))
        .map(|(_, name)| *name)
}

/// `2026-08-01`.
pub(super) fn day(seconds: i64) -> String {
    let since = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    let text = date(SystemTime::UNIX_EPOCH + since);
    text.chars().take(10).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_middlebox_is_recognised_by_its_issuer_and_a_public_ca_is_not_one() {
        assert_eq!(
            middlebox("Fortinet, FGT60F CA"),
            Some("a Fortinet firewall")
        );
        assert!(
            middlebox("gitferry local CA 1a2b")
                .unwrap()
                .contains("a gitferry daemon")
        );
        assert_eq!(middlebox("Let's Encrypt, R11"), None);
        assert_eq!(middlebox("DigiCert Inc, DigiCert Global G2"), None);
    }

    #[test]
    fn a_day_is_shown_as_year_month_day() {
        assert_eq!(day(951_827_696), "2000-02-29");
    }
}
