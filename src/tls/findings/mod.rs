//! Checks a chain of certificates, and says what is wrong with it. The table of all kinds of findings is in `rules`.
//!
//! Knows the certificates and the time. Uses no network and no trusted roots. Programs that check certificates call it, and
//! `load` does for the chain that a server will send.

mod names;
pub(crate) mod rules;

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::time::SystemTime;

use rustls::pki_types::CertificateDer;

use self::rules::*;
use super::certificate::Certificate;
use super::chain::{self, Chain, Way};
use super::pem::Unread;
use super::validity::{self, Standing};
use super::x509::{Hash, PublicKey};
use crate::calendar::{days_from_civil, iso8601_of, unix};
use crate::error::command_for;
use crate::escape;
use crate::finding::{self, shell_word, Finding, Severity};

const DAY: i64 = 86_400;
/// Apple, "Requirements for trusted certificates in iOS 13 and macOS 10.15": for certificates issued after 2019-07-01.
const PRIVATE_DAYS: i64 = 825;
/// CA/Browser Forum, Baseline Requirements §6.3.2 (ballot SC-081v3): the most days of life for certificates from each notBefore
/// on, latest first.
const PUBLIC_DAYS: [((i64, u32, u32), i64); 5] = [
    ((2029, 3, 15), 47),
    ((2027, 3, 15), 100),
    ((2026, 3, 15), 200),
    ((2020, 9, 1), 398),
    ((2018, 3, 1), 825),
];
/// RFC 5280 §4.1.2.2.
const LONGEST_SERIAL: usize = 20;
/// The most findings about names that no client can ask for.
const MOST_FAULTY_NAMES: usize = 16;
/// The most names in a message. The rest is counted.
const MOST_NAMED: usize = 5;

impl Chain {
    /// Everything that is wrong with the chain at `now`, the worst first.
    ///
    /// Validity is not judged while `now` is before the day this program was built, because such a clock is wrong.
    pub fn findings(&self, now: SystemTime) -> Vec<Finding> {
        of(self, unix(now))
    }

    /// As [`findings`](Chain::findings), for certificates to be served: a certificate that becomes valid within five minutes
    /// gives no finding.
    pub(crate) fn findings_of_served(&self, now: i64) -> Vec<Finding> {
        let is_early = |certificate: &Certificate| {
            validity::standing(certificate.facts.validity, now) == Standing::Early
        };
        let mut findings = of(self, now);
        if !self.certificates().iter().any(is_early) {
            findings.retain(|finding| finding.id() != NOT_YET_VALID.id);
        }
        findings
    }
}

/// Warns of what clients will object to in the chain that a server will send.
pub(super) fn warn(certificates: &[CertificateDer<'static>], file: Option<&Path>, now: i64) {
    let place = file.map_or_else(|| escape::line("the certificate"), escape::path);
    let chain = match chain::of_served(certificates, file) {
        Ok(chain) => chain,
        Err(fault) => {
            log::warn!("{place}: {fault}");
            return;
        }
    };
    if !validity::is_plausible(now) {
        log::warn!(
            "{place}: this machine's clock says {}, before the day this program was built; whether the certificate is valid \
             now is not judged",
            iso8601_of(now)
        );
    }
    for finding in chain.findings_of_served(now) {
        // The server itself logs how much of the certificate's life is left, at the start and later.
        if finding.severity() < Severity::Warning || finding.id() == EXPIRES_SOON.id {
            continue;
        }
        let is_of_clock = [&EXPIRED, &NOT_YET_VALID].iter().any(|rule| rule.id == finding.id());
        let level = if is_of_clock { log::Level::Error } else { log::Level::Warn };
        log::log!(level, "{place}: {finding}");
    }
}

/// All findings, the worst first. Findings of the same severity are in the order of the chain.
fn of(chain: &Chain, now: i64) -> Vec<Finding> {
    let mut check = Check { chain, way: chain.way(), now, findings: Vec::new() };
    check.key();
    check.unread();
    check.order();
    for step in 0..check.way.places.len() {
        check.step(step);
    }
    let mut findings = check.findings;
    finding::worst_first(&mut findings);
    findings
}

struct Check<'a> {
    chain: &'a Chain,
    way: Way,
    now: i64,
    findings: Vec<Finding>,
}

impl<'a> Check<'a> {
    fn at(&self, place: usize) -> &'a Certificate {
        &self.chain.certificates()[place]
    }

    fn add(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    fn key(&mut self) {
        let Some(key) = &self.chain.key else { return };
        let file = key.file.as_deref();
        if self.chain.has_certificate_of_key() == Some(false) {
            let subject = self.way.places.first().map_or("", |&own| self.at(own).subject());
            let key_is =
                file.map_or_else(|| "the key".to_string(), |file| format!("the key in {}", file.display()));
            self.add(Finding::new(
                &KEY_MISMATCH,
                format!("{key_is} does not belong to the certificate of {subject}"),
            ));
        }
        if let (Some(loose), Some(file)) = (key.loose_mode, file) {
            let finding = Finding::new(&KEY_FILE_MODE, loose.seen()).at(file.display().to_string());
            self.add(finding.fixed_by(loose.fix(file)));
        }
    }

    /// The parts of the files that are not read or that a server would not accept.
    fn unread(&mut self) {
        let file = self.chain.file.as_deref();
        if self.chain.is_der {
            let fix = command_for("openssl x509 -inform DER -in FILE -out NEW", file);
            self.add(Finding::new(&NOT_PEM, "it is DER, and a server wants PEM").fixed_by(fix));
        }
        for unread in &self.chain.unread {
            self.add(of_unread(unread, file).at(format!("line {}", unread.line)));
        }
        let Some(key) = &self.chain.key else { return };
        for unread in &key.unread {
            let place = key.file.as_ref().map(|file| format!("{}, ", file.display())).unwrap_or_default();
            self.add(of_unread(unread, key.file.as_deref()).at(format!("{place}line {}", unread.line)));
        }
    }

    /// The order of the certificates in the file.
    fn order(&mut self) {
        let places = self.way.places.clone();
        if places.first().is_some_and(|&own| own > 0 && self.at(0).der() != self.at(own).der()) {
            let seen = format!("the server's own certificate stands at place {}", places[0] + 1);
            self.add(self.to_be_ordered(Finding::new(&LEAF_NOT_FIRST, seen)));
        } else if places.windows(2).any(|two| two[0] > two[1]) {
            let right: Vec<String> = places.iter().map(|place| (place + 1).to_string()).collect();
            let seen = format!("issuers stand in another order than they should: {}", right.join(", "));
            self.add(self.to_be_ordered(Finding::new(&WRONG_ORDER, seen)));
        }
        if let [.., last] = places[..] {
            if places.len() > 1 && self.at(last).is_self_signed() {
                let seen = format!("the root, {}, stands in the chain", self.at(last).subject());
                self.add(self.to_be_ordered(Finding::new(&ROOT_INCLUDED, seen).at(place_name(last))));
            }
            self.top(last, places.len());
        }
        self.beside(&places);
    }

    /// Checks where the last certificate of the path leads.
    fn top(&mut self, last: usize, length: usize) {
        let certificate = self.at(last);
        if let Some(issuer) = self.way.not_signed_by {
            let seen = format!(
                "it names {} as its issuer, whose key ({}) has not signed it",
                certificate.issuer(),
                place_name(issuer)
            );
            self.add(Finding::new(&BROKEN_SIGNATURE, seen).at(place_name(last)));
        } else if length == 1 && !certificate.is_self_signed() {
            let from = &certificate.facts.extensions.issuers_at;
            let at = from.first().map_or_else(String::new, |url| format!("; it is at {url}"));
            let seen =
                format!("the certificate of its issuer, {}, is not in the chain{at}", certificate.issuer());
            if certificate.facts.is_public() {
                self.add(Finding::new(&MISSING_INTERMEDIATE, seen).at(place_name(last)));
            } else if !from.is_empty() {
                self.add(Finding::new(&ISSUER_ELSEWHERE, seen).at(place_name(last)));
            }
        }
    }

    /// The certificates that are not on the path.
    fn beside(&mut self, places: &[usize]) {
        let certificates = self.chain.certificates();
        let mut first: HashMap<&[u8], usize> = HashMap::new();
        let mut serials: HashMap<(&[u8], &[u8]), usize> = HashMap::new();
        let (mut again, mut unrelated, mut repeated) = (Vec::new(), Vec::new(), Vec::new());
        for (place, certificate) in certificates.iter().enumerate() {
            if first.contains_key(certificate.der()) {
                again.push(place);
                continue;
            }
            first.insert(certificate.der(), place);
            let facts = &certificate.facts;
            if let Some(before) = serials.insert((&facts.issuer.der, &facts.serial), place) {
                repeated.push((before, place));
            }
            let is_on_the_way = places.iter().any(|&on| certificates[on].der() == certificate.der());
            if !is_on_the_way && Some(place) != self.way.not_signed_by {
                unrelated.push(place);
            }
        }
        if let Some((before, place)) = repeated.first() {
            let serial = certificates[*place].serial();
            let seen = format!("{} has the same issuer and serial number ({serial})", place_name(*before));
            self.add(Finding::new(&REPEATED_SERIAL, seen).at(place_name(*place)));
        }
        if !unrelated.is_empty() {
            let seen = format!("not on the way to the authority: {}", self.named(&unrelated));
            self.add(self.to_be_ordered(Finding::new(&UNRELATED, seen)));
        }
        if !again.is_empty() {
            let seen = format!("in the chain a second time: {}", self.named(&again));
            self.add(self.to_be_ordered(Finding::new(&DUPLICATE, seen)));
        }
    }

    fn named(&self, places: &[usize]) -> String {
        let name = |&place: &usize| format!("{} ({})", place_name(place), self.at(place).subject());
        let named: Vec<String> = places.iter().take(MOST_NAMED).map(name).collect();
        let more = places.len().saturating_sub(MOST_NAMED);
        let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
        named.join(", ") + &rest
    }

    /// Names `lockgate cert install` as the fix, unless the key is in the same file.
    fn to_be_ordered(&self, finding: Finding) -> Finding {
        let key = self.chain.key.as_ref();
        let Some(file) = self.chain.file.as_deref() else { return finding };
        let key = match key.map(|key| key.file.as_deref()) {
            Some(Some(key)) if key != file => shell_word(key),
            Some(_) => return finding,
            None => "KEYFILE".to_string(),
        };
        let file = shell_word(file);
        finding.fixed_by(format!("lockgate cert install {file} --key {key} --cert {file}"))
    }

    /// Checks one certificate on the path; step 0 is the server's own.
    fn step(&mut self, step: usize) {
        let place = self.way.places[step];
        let certificate = self.at(place);
        let is_root = step > 0 && certificate.is_self_signed();
        let found = self.findings.len();
        self.validity(certificate, step);
        self.form(certificate, is_root);
        self.strength(certificate, is_root);
        if step == 0 {
            self.own(certificate);
        } else {
            self.issuer(certificate, step);
        }
        // Findings about the certificate say which one it is.
        for finding in self.findings.split_off(found) {
            self.findings.push(finding.at(place_name(place)));
        }
    }

    fn validity(&mut self, certificate: &Certificate, step: usize) {
        let (begins, ends, now) =
            (certificate.validity().not_before, certificate.validity().not_after, self.now);
        let clock = format!("(the clock says {})", iso8601_of(now));
        let is_judged = validity::is_plausible(now);
        if is_judged && now > ends {
            return self.add(Finding::new(&EXPIRED, format!("expired at {} {clock}", iso8601_of(ends))));
        }
        if is_judged && now < begins {
            let seen = format!("not valid before {} {clock}", iso8601_of(begins));
            return self.add(Finding::new(&NOT_YET_VALID, seen));
        }
        if step > 0 {
            return;
        }
        let (life, left) = (ends - begins, ends.saturating_sub(now));
        let seen = format!("expires at {}, {} of {} days left", iso8601_of(ends), left / DAY, life / DAY);
        if !is_judged {
            // Such a clock cannot tell how much is left.
        } else if left < life / 10 {
            self.add(Finding::new(&EXPIRES_SOON, seen));
        } else if left < life / 3 {
            self.add(Finding::new(&RENEWAL_DUE, seen));
        }
        let issuers =
            self.way.places.iter().skip(1).map(|&place| (place, self.at(place).validity().not_after));
        if let Some((place, over)) = issuers.filter(|(_, over)| *over < ends).min_by_key(|(_, over)| *over) {
            let seen = format!(
                "{} expires at {}, before it ({})",
                place_name(place),
                iso8601_of(over),
                iso8601_of(ends)
            );
            self.add(Finding::new(&ISSUER_EXPIRES_FIRST, seen));
        }
    }

    fn form(&mut self, certificate: &Certificate, is_root: bool) {
        let facts = &certificate.facts;
        if facts.version < 3 && !is_root {
            self.add(Finding::new(&OLD_VERSION, format!("it is of X.509 version {}", facts.version)));
        }
        if !facts.extensions.unknown_critical.is_empty() {
            let listed = facts.extensions.unknown_critical.join(", ");
            self.add(Finding::new(&UNKNOWN_CRITICAL, format!("critical, and known to no client: {listed}")));
        }
        let serial = &facts.serial;
        let is_negative = serial.first().is_some_and(|&first| first >= 0x80);
        // A leading zero only marks the sign.
        let length = serial.len() - usize::from(serial.len() > 1 && serial[0] == 0);
        let fault = match length {
            _ if is_negative => "negative",
            1 if serial == &[0] => "zero",
            0..=LONGEST_SERIAL => "",
            _ => "longer than 20 bytes",
        };
        if !fault.is_empty() {
            self.add(Finding::new(&BAD_SERIAL, format!("its serial number is {fault}")));
        }
        let is_from_another = !facts.is_self_issued();
        if is_from_another && facts.version == 3 && facts.extensions.authority_key_id.is_none() {
            self.add(Finding::new(&NO_AUTHORITY_KEY_ID, "it has no authorityKeyIdentifier"));
        }
    }

    fn strength(&mut self, certificate: &Certificate, is_root: bool) {
        let facts = &certificate.facts;
        let key = &facts.key.kind;
        let seen = format!("its key is {key}");
        match key {
            PublicKey::Rsa { bits: 2048.. } | PublicKey::Ec { curve: "P-256" | "P-384" } => {}
            PublicKey::Ed25519 | PublicKey::Ec { curve: "P-521" } => self.add(Finding::new(&RARE_KEY, seen)),
            PublicKey::Rsa { .. } | PublicKey::Ec { .. } | PublicKey::Other(_) => {
                self.add(Finding::new(&WEAK_KEY, seen));
            }
        }
        // Nobody checks a root's signature on itself.
        if facts.signature.hash == Hash::Broken && !is_root {
            self.add(Finding::new(&WEAK_SIGNATURE, format!("it was signed by {}", facts.signature.name)));
        }
    }

    /// Checks that concern only the server's own certificate.
    fn own(&mut self, certificate: &Certificate) {
        let facts = &certificate.facts;
        let extensions = &facts.extensions;
        if extensions.dns_names.is_empty() && extensions.addresses.is_empty() {
            let subject = match &facts.subject.common_name {
                Some(name) => format!("; the name {name} stands in the subject only, where no client looks"),
                None => String::new(),
            };
            self.add(Finding::new(&NO_NAMES, format!("it is for no name and no address{subject}")));
        }
        let faults = extensions.dns_names.iter().filter_map(|name| Some((name, names::fault(name)?)));
        for (name, what) in faults.take(MOST_FAULTY_NAMES) {
            self.add(Finding::new(
                &UNMATCHABLE_NAME,
                format!("no client can ask for the DNS name {}: {what}", brief(name)),
            ));
        }
        if let Some(address) = extensions.dns_names.iter().find(|name| name.parse::<IpAddr>().is_ok()) {
            let seen = format!("the address {address} is written as a DNS name");
            let address =
                address.parse::<IpAddr>().is_ok_and(|address| extensions.addresses.contains(&address));
            if !address {
                self.add(Finding::new(&ADDRESS_AS_NAME, seen));
            }
        }
        if extensions.is_ca {
            self.add(Finding::new(&CA_AS_LEAF, "it is an authority's certificate (CA:TRUE)"));
        }
        if let Some(usage) = extensions.key_usage.filter(|usage| !usage.may_sign()) {
            let seen =
                format!("its key is for {} only, digitalSignature is missing", usage.names().join(", "));
            self.add(Finding::new(&KEY_USAGE, seen));
        }
        match &extensions.extended_key_usage {
            Some(usage) if !usage.server => {
                let seen = format!("it is for {} only", usage.names.join(", "));
                self.add(Finding::new(&SERVER_AUTH, seen));
            }
            None if facts.validity.not_before >= day((2019, 7, 1)) => {
                self.add(Finding::new(&NO_EXTENDED_KEY_USAGE, "it has no extendedKeyUsage"));
            }
            _ => {}
        }
        if certificate.is_self_signed() {
            self.add(Finding::new(&SELF_SIGNED, "it is its own issuer"));
        }
        self.lifetime(certificate);
    }

    fn lifetime(&mut self, certificate: &Certificate) {
        let begins = certificate.validity().not_before;
        // Clients compare the difference of the two times. The rules count both ends, which is a second more; clients do not
        // mind.
        let days = (certificate.validity().not_after - begins + DAY - 1).div_euclid(DAY);
        let seen = |most| format!("it lasts {days} days, {most} are the most that are accepted");
        if certificate.facts.is_public() {
            let most = PUBLIC_DAYS.iter().find(|(from, _)| begins >= day(*from)).map(|(_, most)| *most);
            if let Some(most) = most.filter(|&most| days > most) {
                self.add(Finding::new(&PUBLIC_LIFETIME, seen(most)));
            }
        } else if days > PRIVATE_DAYS && begins >= day((2019, 7, 1)) {
            self.add(Finding::new(&PRIVATE_LIFETIME, seen(PRIVATE_DAYS)));
        }
    }

    /// Checks that concern only issuers.
    fn issuer(&mut self, certificate: &Certificate, step: usize) {
        let extensions = &certificate.facts.extensions;
        // The authorities between this one and the server's own certificate. Self-issued ones do not count (RFC 5280 §6.1.4
        // (l)).
        let below =
            self.way.places[1..step].iter().filter(|&&place| !self.at(place).facts.is_self_issued()).count();
        let fault = if certificate.facts.version == 3 && !extensions.is_ca {
            "it has issued another one, and is no authority's (CA:FALSE)"
        } else if extensions.key_usage.is_some_and(|usage| !usage.may_sign_certificates()) {
            "it has issued another one, and its key usage lacks keyCertSign"
        } else if extensions.path_length.is_some_and(|most| below as u64 > most) {
            "more authorities stand below it than its path length allows"
        } else {
            return;
        };
        self.add(Finding::new(&ISSUER_NOT_ALLOWED, fault));
    }
}

fn of_unread(unread: &Unread, file: Option<&Path>) -> Finding {
    let finding = Finding::new(&UNREAD_PART, unread.what.as_str());
    match unread.conversion {
        Some(conversion) => finding.fixed_by(command_for(conversion, file)),
        None => finding,
    }
}

/// A name for a message. The end of a long name is left out.
fn brief(name: &str) -> String {
    const MOST: usize = 80;
    match name.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_string(),
    }
}

fn place_name(place: usize) -> String {
    format!("certificate {}", place + 1)
}

fn day((year, month, day): (i64, u32, u32)) -> i64 {
    days_from_civil(year, month, day) * DAY
}
