//! Reads an authority's messages (RFC 8555 §7.1) from JSON: directory, order, authorization, challenge, problem. Only members
//! that are used are read. An error names a member that is missing or of the wrong type.
//!
//! Knows JSON; no network, no state. Called by `session`, `account`, `order` and `ari`.

use std::time::Duration;

use serde_json::Value;

use super::challenge::Challenge;
use super::foreign::clean;
use crate::url::Url;

/// The most names, URLs or profiles that are read in one message. A certificate may have 100 names at Let's Encrypt.
const MOST: usize = 256;

/// What is wrong with a message.
pub(super) type Wrong = String;

/// The authority's directory: the URLs of its resources (RFC 8555 §7.1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Directory {
    pub new_nonce: String,
    pub new_account: String,
    pub new_order: String,
    /// RFC 9773 §4.1.
    pub renewal_info: Option<String>,
    pub terms: Option<String>,
    pub external_account_required: bool,
    /// draft-aaron-acme-profiles §3: names, and what they mean.
    pub profiles: Vec<String>,
}

impl Directory {
    /// `base` is the URL of the message, against which references are resolved, here and below.
    pub(super) fn parse(body: &[u8], base: &str) -> Result<Directory, Wrong> {
        let json = object(body)?;
        let meta = &json["meta"];
        let profiles = meta["profiles"].as_object();
        Ok(Directory {
            new_nonce: url(&json, "newNonce", base)?,
            new_account: url(&json, "newAccount", base)?,
            new_order: url(&json, "newOrder", base)?,
            renewal_info: url(&json, "renewalInfo", base).ok(),
            terms: meta["termsOfService"].as_str().map(clean),
            external_account_required: meta["externalAccountRequired"].as_bool().unwrap_or(false),
            profiles: profiles.into_iter().flatten().map(|(name, _)| name.clone()).take(MOST).collect(),
        })
    }
}

/// The status of an account (RFC 8555 §7.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Good,
    /// Its owner has deactivated it, or the authority has revoked it. This is final.
    Over,
}

impl Standing {
    pub(super) fn parse(body: &[u8], _base: &str) -> Result<Standing, Wrong> {
        Ok(match object(body)?["status"].as_str() {
            Some("deactivated" | "revoked") => Standing::Over,
            _ => Standing::Good,
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OrderStatus {
    Pending,
    Ready,
    Processing,
    Valid,
    Invalid,
}

/// RFC 8555 §7.1.3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Order {
    pub status: OrderStatus,
    pub authorizations: Vec<String>,
    pub finalize: String,
    /// `None` also for a URL that no request can go to.
    pub certificate: Option<String>,
    /// Why it is invalid, in the authority's words.
    pub error: Option<String>,
}

impl Order {
    pub(super) fn parse(body: &[u8], base: &str) -> Result<Order, Wrong> {
        let json = object(body)?;
        let status = match json["status"].as_str() {
            Some("pending") => OrderStatus::Pending,
            Some("ready") => OrderStatus::Ready,
            Some("processing") => OrderStatus::Processing,
            Some("valid") => OrderStatus::Valid,
            Some("invalid") => OrderStatus::Invalid,
            _ => return Err("an order has no status that RFC 8555 knows".into()),
        };
        Ok(Order {
            status,
            authorizations: urls(&json, "authorizations", base)?,
            finalize: url(&json, "finalize", base)?,
            certificate: url(&json, "certificate", base).ok(),
            error: json.get("error").map(|error| Problem::of(error).said()),
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AuthorizationStatus {
    Pending,
    Valid,
    /// Invalid, deactivated, expired or revoked: it cannot succeed any more.
    Dead,
}

/// RFC 8555 §7.1.4.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Authorization {
    pub status: AuthorizationStatus,
    /// The name or address to be validated.
    pub identifier: String,
    pub challenges: Vec<Offer>,
}

/// A challenge that the authority offers (RFC 8555 §7.1.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Offer {
    pub kind: String,
    pub url: String,
    pub token: String,
    pub is_pending: bool,
    /// Why it failed, in the authority's words.
    pub error: Option<String>,
}

impl Authorization {
    pub(super) fn parse(body: &[u8], base: &str) -> Result<Authorization, Wrong> {
        let json = object(body)?;
        let status = match json["status"].as_str() {
            Some("pending") => AuthorizationStatus::Pending,
            Some("valid") => AuthorizationStatus::Valid,
            Some("invalid" | "deactivated" | "expired" | "revoked") => AuthorizationStatus::Dead,
            _ => return Err("an authorization has no status that RFC 8555 knows".into()),
        };
        let challenges = json["challenges"].as_array().map_or(&[][..], |all| all);
        Ok(Authorization {
            status,
            identifier: clean(&text(&json["identifier"], "value")?),
            challenges: challenges.iter().take(MOST).filter_map(|json| Offer::parse(json, base)).collect(),
        })
    }

    pub(super) fn offer(&self, challenge: Challenge) -> Result<&Offer, Wrong> {
        self.challenges.iter().find(|offer| offer.kind == challenge.name()).ok_or_else(|| {
            let offered: Vec<&str> = self.challenges.iter().map(|offer| &*offer.kind).collect();
            let offered = clean(&offered.join(", "));
            format!("no {} is offered for {}, only {offered}", challenge.name(), self.identifier)
        })
    }

    /// Why it failed, as far as the authority says.
    pub(super) fn failure(&self) -> String {
        let failed = self.challenges.iter().find_map(|offer| offer.error.clone());
        failed.unwrap_or_else(|| "the authority does not say why".into())
    }
}

impl Offer {
    /// `None` for challenges without a token or of an unknown kind.
    fn parse(json: &Value, base: &str) -> Option<Offer> {
        let token = json["token"].as_str()?;
        // RFC 8555 §8.3: base64url. It becomes part of a path and of an answer.
        let is_token = token.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        let fits = is_token && (1..=256).contains(&token.len());
        fits.then_some(())?;
        Some(Offer {
            kind: json["type"].as_str()?.to_string(),
            url: url(json, "url", base).ok()?,
            token: token.to_string(),
            is_pending: json["status"].as_str() == Some("pending"),
            error: json.get("error").map(|error| Problem::of(error).said()),
        })
    }
}

/// A problem document (RFC 8555 §6.7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    /// Without `urn:ietf:params:acme:error:`.
    pub kind: String,
    pub detail: String,
}

impl Problem {
    pub(super) fn parse(body: &[u8]) -> Problem {
        serde_json::from_slice(body).map_or_else(|_| Problem::of(&Value::Null), |json| Problem::of(&json))
    }

    fn of(json: &Value) -> Problem {
        let kind = json["type"].as_str().unwrap_or("about:blank");
        let mut detail = json["detail"].as_str().unwrap_or("no detail is given").to_string();
        for one in json["subproblems"].as_array().into_iter().flatten().take(MOST) {
            let name = one["identifier"]["value"].as_str().unwrap_or("?");
            detail.push_str(&format!("; {name}: {}", one["detail"].as_str().unwrap_or("?")));
        }
        Problem {
            kind: clean(kind.trim_start_matches("urn:ietf:params:acme:error:")),
            detail: clean(&detail),
        }
    }

    fn said(&self) -> String {
        format!("{} ({})", self.detail, self.kind)
    }
}

/// When to renew (RFC 9773 §4.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RenewalInfo {
    pub start: i64,
    pub end: i64,
    pub explanation: Option<String>,
}

impl RenewalInfo {
    pub(super) fn parse(body: &[u8], _base: &str) -> Result<RenewalInfo, Wrong> {
        let json = object(body)?;
        let window = &json["suggestedWindow"];
        let time = |name: &str| {
            super::time::rfc3339(&text(window, name)?)
                .ok_or_else(|| format!("{name} is no time as RFC 3339 writes it"))
        };
        let (start, end) = (time("start")?, time("end")?);
        if end <= start {
            // RFC 9773 §4.2: such a window is ignored.
            return Err("the window for renewal ends before it starts".into());
        }
        Ok(RenewalInfo { start, end, explanation: json["explanationURL"].as_str().map(clean) })
    }
}

/// A wait that an authority requests, within the caller's bounds.
pub(super) fn bounded(
    wanted: Option<Duration>,
    otherwise: Duration,
    least: Duration,
    most: Duration,
) -> Duration {
    wanted.unwrap_or(otherwise).clamp(least, most)
}

fn object(body: &[u8]) -> Result<Value, Wrong> {
    match serde_json::from_slice(body) {
        Ok(json @ Value::Object(_)) => Ok(json),
        Ok(_) => Err("the answer is not a JSON object".into()),
        Err(error) => Err(format!("the answer is not JSON ({error})")),
    }
}

fn text(json: &Value, name: &str) -> Result<String, Wrong> {
    json[name].as_str().map(String::from).ok_or_else(|| format!("the answer has no {name}"))
}

/// A URL that a request can go to.
fn url(json: &Value, name: &str, base: &str) -> Result<String, Wrong> {
    usable(&text(json, name)?, name, base)
}

fn urls(json: &Value, name: &str, base: &str) -> Result<Vec<String>, Wrong> {
    let all = json[name].as_array().filter(|all| all.len() <= MOST);
    let all = all.ok_or_else(|| format!("the answer has no {name}, or more than {MOST}"))?;
    all.iter()
        .map(|one| {
            let text = one.as_str().ok_or_else(|| format!("{name} holds something else than text"))?;
            usable(text, name, base)
        })
        .collect()
}

fn usable(reference: &str, name: &str, base: &str) -> Result<String, Wrong> {
    Url::resolve_https(base, reference)
        .map_err(|what| format!("{name} in the answer is no URL to go on with: {} {what}", clean(reference)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::acme::foreign::DETAIL_BYTES;

    const BASE: &str = "https://example.com/acme/directory";

    fn bytes(json: &Value) -> Vec<u8> {
        json.to_string().into_bytes()
    }

    /// RFC 8555 §7.1.1, with what RFC 9773 and the draft on profiles add.
    fn directory() -> Value {
        json!({
            "newNonce": "https://example.com/acme/new-nonce",
            "newAccount": "https://example.com/acme/new-account",
            "newOrder": "https://example.com/acme/new-order",
            "newAuthz": "https://example.com/acme/new-authz",
            "revokeCert": "https://example.com/acme/revoke-cert",
            "keyChange": "https://example.com/acme/key-change",
            "renewalInfo": "https://example.com/acme/renewal-info",
            "meta": {
                "termsOfService": "https://example.com/acme/terms/2017-5-30",
                "website": "https://www.example.com/",
                "caaIdentities": ["example.com"],
                "externalAccountRequired": true,
                "profiles": {"classic": "https://example.com/classic", "shortlived": "…"},
            }
        })
    }

    #[test]
    fn a_directory_is_read_and_what_is_missing_is_named() {
        let read = Directory::parse(&bytes(&directory()), BASE).unwrap();
        assert_eq!(read.new_order, "https://example.com/acme/new-order");
        assert_eq!(read.renewal_info.as_deref(), Some("https://example.com/acme/renewal-info"));
        assert_eq!(read.terms.as_deref(), Some("https://example.com/acme/terms/2017-5-30"));
        assert!(read.external_account_required);
        assert_eq!(read.profiles, ["classic", "shortlived"]);

        let mut plain = directory();
        let plain = plain.as_object_mut().unwrap();
        plain.remove("meta");
        plain.remove("renewalInfo");
        let read = Directory::parse(&bytes(&plain.clone().into()), BASE).unwrap();
        assert_eq!((read.renewal_info, read.terms, read.profiles), (None, None, Vec::new()));
        assert!(!read.external_account_required);
        plain.remove("newNonce");
        assert_eq!(
            Directory::parse(&bytes(&plain.clone().into()), BASE).unwrap_err(),
            "the answer has no newNonce"
        );
        for body in [&b"[]"[..], b"", b"<html>", b"{\"newNonce\":1}"] {
            Directory::parse(body, BASE).unwrap_err();
        }
    }

    #[test]
    fn an_order_is_read() {
        let order = json!({
            "status": "invalid",
            "identifiers": [{"type": "dns", "value": "example.org"}],
            "authorizations": ["https://example.com/acme/authz/1"],
            "finalize": "https://example.com/acme/order/1/finalize",
            "error": {"type": "urn:ietf:params:acme:error:unauthorized", "detail": "no", "subproblems": [
                {"identifier": {"type": "dns", "value": "a"}, "detail": "why\r\nnot"}
            ]},
        });
        let read = Order::parse(&bytes(&order), BASE).unwrap();
        assert_eq!(read.status, OrderStatus::Invalid);
        assert_eq!(read.authorizations, ["https://example.com/acme/authz/1"]);
        assert_eq!(read.error.as_deref(), Some("no; a: why  not (unauthorized)"));
        for (name, value) in
            [("status", json!("done")), ("authorizations", json!([1])), ("finalize", json!(null))]
        {
            let mut broken = order.clone();
            broken[name] = value;
            Order::parse(&bytes(&broken), BASE).unwrap_err();
        }
    }

    #[test]
    fn an_authorization_offers_its_challenges_and_nothing_with_a_token_that_is_none() {
        let challenge = |kind: &str, token: &str| json!({"type": kind, "url": "https://example.com/acme/chall/1", "status": "pending", "token": token});
        let authorization = json!({
            "status": "pending",
            "identifier": {"type": "dns", "value": "example.org"},
            "challenges": [
                challenge("dns-01", "abc"),
                challenge("http-01", "DGyRejmCefe7v4NfDGDKfA"),
                challenge("tls-alpn-01", "../../etc/passwd"),
            ],
        });
        let read = Authorization::parse(&bytes(&authorization), BASE).unwrap();
        assert_eq!(read.offer(Challenge::Http01).unwrap().token, "DGyRejmCefe7v4NfDGDKfA");
        let missing = read.offer(Challenge::TlsAlpn01).unwrap_err();
        assert_eq!(missing, "no tls-alpn-01 is offered for example.org, only dns-01, http-01");
        let long =
            json!({"status": "pending", "identifier": {"value": "a\nb".repeat(1_000)}, "challenges": []});
        let missing =
            Authorization::parse(&bytes(&long), BASE).unwrap().offer(Challenge::Http01).unwrap_err();
        assert!(!missing.contains('\n') && missing.len() < 2 * DETAIL_BYTES, "{missing}");
    }

    #[test]
    fn a_problem_is_said_in_one_line_of_bounded_length() {
        let problem = Problem::parse(br#"{"type":"urn:ietf:params:acme:error:badNonce","detail":"JWS has an invalid anti-replay nonce"}"#);
        assert_eq!(problem.kind, "badNonce");
        assert_eq!(problem.said(), "JWS has an invalid anti-replay nonce (badNonce)");
        assert_eq!(Problem::parse(b"<html>").said(), "no detail is given (about:blank)");
        let long = json!({"detail": "ä".repeat(DETAIL_BYTES)});
        assert!(Problem::parse(&bytes(&long)).detail.len() <= DETAIL_BYTES + 3);
    }

    #[test]
    fn what_an_authority_says_steers_no_terminal() {
        let foreign = "\u{1b}[2J\u{9b}31m\u{202e}x\r\ny\u{7f}";
        let shown = "\\u{1b}[2J\\u{9b}31m\\u{202e}x  y\\u{7f}";
        let all = json!({
            "type": foreign, "detail": foreign,
            "subproblems": [{"identifier": {"value": foreign}, "detail": foreign}],
        });
        let said = Problem::parse(&bytes(&all)).said();
        assert_eq!(said, format!("{shown}; {shown}: {shown} ({shown})"));
        let info = json!({
            "suggestedWindow": {"start": "2025-01-02T04:00:00Z", "end": "2025-01-03T04:00:00Z"},
            "explanationURL": foreign,
        });
        assert_eq!(RenewalInfo::parse(&bytes(&info), BASE).unwrap().explanation.as_deref(), Some(shown));
        let mut terms = directory();
        terms["meta"]["termsOfService"] = foreign.into();
        assert_eq!(Directory::parse(&bytes(&terms), BASE).unwrap().terms.as_deref(), Some(shown));
    }

    #[test]
    fn a_window_for_renewal_has_a_beginning_and_then_an_end() {
        let info = |start: &str, end: &str| {
            RenewalInfo::parse(
                &bytes(
                    &json!({"suggestedWindow": {"start": start, "end": end}, "explanationURL": "https://x/"}),
                ),
                BASE,
            )
        };
        // RFC 9773 §4.2.
        let read = info("2025-01-02T04:00:00Z", "2025-01-03T04:00:00Z").unwrap();
        assert_eq!((read.start, read.end - read.start), (1_735_790_400, 86_400));
        assert_eq!(read.explanation.as_deref(), Some("https://x/"));
        info("2025-01-02T04:00:00Z", "2025-01-02T04:00:00Z").unwrap_err();
        info("2025-01-02T04:00:00Z", "soon").unwrap_err();
    }

    #[test]
    fn urls_are_resolved_and_what_no_request_can_go_to_is_named_or_left_out() {
        let mut relative = directory();
        for (name, reference) in
            [("newNonce", "new-nonce"), ("newAccount", "/acct"), ("newOrder", "//b.example/order")]
        {
            relative[name] = reference.into();
        }
        let read = Directory::parse(&bytes(&relative), BASE).unwrap();
        assert_eq!(read.new_nonce, "https://example.com/acme/new-nonce");
        assert_eq!(read.new_account, "https://example.com/acct");
        assert_eq!(read.new_order, "https://b.example/order");
        for reference in ["http://example.com/x", "", "https://", "\u{1b}[2J"] {
            let mut broken = directory();
            broken["newOrder"] = reference.into();
            let message = Directory::parse(&bytes(&broken), BASE).unwrap_err();
            assert!(message.starts_with("newOrder in the answer is no URL to go on with"), "{message}");
            assert!(!message.contains('\u{1b}'), "{message}");
            // Optional members that are broken are left out.
            let mut broken = directory();
            broken["renewalInfo"] = reference.into();
            assert_eq!(Directory::parse(&bytes(&broken), BASE).unwrap().renewal_info, None);
        }
        let order = |certificate: &str| {
            let order = json!({"status": "valid", "authorizations": ["/a/1"], "finalize": "f", "certificate": certificate});
            Order::parse(&bytes(&order), "https://example.com/order/1").unwrap()
        };
        assert_eq!(order("../cert").certificate.as_deref(), Some("https://example.com/cert"));
        assert_eq!(order("/x").finalize, "https://example.com/order/f");
        assert_eq!(order("/x").authorizations, ["https://example.com/a/1"]);
        assert_eq!(order("ftp://x").certificate, None);
    }
}
