//! Every kind of finding in client code, in one table: the line for reports, and the long text for `lockgate check
//! --explain`.

use crate::finding::{Rule, Severity};

/// A kind of finding, with the long text about it.
#[derive(Debug)]
pub struct Explanation {
    rule: Rule,
    title: &'static str,
    long: &'static str,
}

impl Explanation {
    /// All kinds, in the order of the documentation.
    pub fn all() -> &'static [&'static Explanation] {
        ALL
    }

    /// The explanation with this id.
    pub fn of(id: &str) -> Option<&'static Explanation> {
        ALL.iter().copied().find(|explanation| explanation.rule.id == id)
    }

    pub(super) fn rule(&'static self) -> &'static Rule {
        &self.rule
    }

    /// In kebab case. An id never changes.
    pub fn id(&self) -> &'static str {
        self.rule.id
    }

    /// How bad each of its findings is.
    pub fn severity(&self) -> Severity {
        self.rule.severity
    }

    /// What it is, as a heading.
    pub fn title(&self) -> &'static str {
        self.title
    }

    /// Why it matters, in a sentence or two.
    pub fn why(&self) -> &'static str {
        self.rule.why
    }

    /// How to fix it, in general; the finding itself gives the fix for its language.
    pub fn fix(&self) -> &'static str {
        self.rule.fix
    }

    /// The standard or manual that says so.
    pub fn reference(&self) -> &'static str {
        self.rule.reference
    }

    /// The long text: what is reported, what is not, and what to do. Paragraphs, with lines of at most 100 characters.
    pub fn long(&self) -> &'static str {
        self.long
    }
}

static ALL: &[&Explanation] = &[
    &PLAIN_HTTP_NAMED_HOST,
    &PLAIN_HTTP_URL,
    &PLAIN_HTTP_LOCAL_URL,
    &PLAIN_HTTP_MENTIONED_URL,
    &PLAIN_HTTP_BUILT_URL,
    &VERIFICATION_OFF,
    &VERIFICATION_OFF_EVERYWHERE,
    &HOSTNAME_CHECK_OFF,
    &ACCEPTS_ANY_CERTIFICATE,
    &INSECURE_COMMAND,
    &CLEARTEXT_ALLOWED,
    &VERIFICATION_OFF_IN_TESTS,
    &WARNINGS_SILENCED,
    &UNUSED_ALLOW,
];

const PLAIN_HTTP_LONG: &str = "\
Looked for in string literals of code, in values of configuration (YAML, JSON, TOML, ini, .env,
XML), in the servers of OpenAPI documents, and in commands of shell scripts, Dockerfiles,
Makefiles and CI files.

Also found: the default of a variable (${URL:-http://host}), and JSON's http:\\/\\/.

Something must show that the program requests it: the call that takes it, its name (api, server,
feed, download, mirror), what the file does with that name, or its form (a port, a data file, a
folder of an API). Otherwise it is the note plain-http-mentioned-url.

Not reported: loopback (127.0.0.0/8, ::1, localhost, *.localhost, 0.0.0.0); hosts reserved for
documentation (example.com, example.org, example.net, *.example, *.test, *.invalid, 192.0.2.0/24
and the like) and placeholders; names of XML namespaces, schemas and DTDs; licences; comments,
documentation strings and prose; strings that are compared with or replaced; addresses of
proxies; addresses that are plain by design (OCSP, CRL, captive-portal probes, signed package
mirrors, but not their keys, timestamp authorities, the metadata services of clouds); regular
expressions; samples in descriptions; previews of views; curl through a socket (--unix-socket);
former addresses (legacy…); texts in other languages; metadata of packages (package.json,
Cargo.toml, setup.py, pom.xml, lock files); test code, unless the host was given with --host.

A redirect on the server does not help: before the redirect arrives, the request has crossed the
network in clear, with its credentials.
";

pub(super) static PLAIN_HTTP_NAMED_HOST: Explanation = Explanation {
    rule: Rule {
        id: "plain-http-named-host",
        severity: Severity::Error,
        why: "This host serves HTTPS (--host), and here it is requested in clear: anyone on the way can read and \
              change the request, its credentials and the answer.",
        refused_by: &[],
        fix: "write https:// (lockgate check --source DIR --host HOST --fix does it)",
        reference: "RFC 9110 §4.2.2",
    },
    title: "A host that serves HTTPS is requested over plain HTTP",
    long: PLAIN_HTTP_LONG,
};

pub(super) static PLAIN_HTTP_URL: Explanation = Explanation {
    rule: Rule {
        id: "plain-http-url",
        severity: Severity::Warning,
        why: "Anyone on the way can read and change the request, its credentials and the answer.",
        refused_by: &[],
        fix: "write https://, once the server answers it",
        reference: "RFC 9110 §4.2.2",
    },
    title: "A server is requested over plain HTTP",
    long: PLAIN_HTTP_LONG,
};

pub(super) static PLAIN_HTTP_LOCAL_URL: Explanation = Explanation {
    rule: Rule {
        id: "plain-http-local-url",
        severity: Severity::Note,
        why: "A private network is not secret: everything in it (a guest, a camera, a phone with a bad app) can read and \
              change the traffic.",
        refused_by: &[],
        fix: "let the device serve HTTPS under its own name, and write https://",
        reference: "RFC 1918; RFC 6762 §21",
    },
    title: "A server in the local network is requested over plain HTTP",
    long: "\
Like plain-http-url, for private addresses (10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, fc00::/7,
link-local), names that only a local network knows (*.local, *.lan, *.home.arpa, *.internal,
*.svc.cluster.local), and names without a dot (http://backend:8080). A note, because inside one
machine or one cluster it may be intended. Where the traffic leaves the machine, use HTTPS: a
device can have a certificate from an authority of its own.
",
};

pub(super) static PLAIN_HTTP_MENTIONED_URL: Explanation = Explanation {
    rule: Rule {
        id: "plain-http-mentioned-url",
        severity: Severity::Note,
        why: "If the program requests it, anyone on the way can read and change the request, its credentials and the answer.",
        refused_by: &[],
        fix: "write https://, if the server answers it",
        reference: "RFC 9110 §4.2.2",
    },
    title: "A plain HTTP address that the program perhaps only shows",
    long: "\
Like plain-http-url, where nothing shows that the program requests the address: no call that
connects takes it or the name that it is given to, that name says nothing (url, site, homepage of
a library), and it may as well be a page for people. Also each address of a data file with those
of many hosts: a list of references, sponsors or sites. A note, because a person can tell the
difference at a glance, and a program cannot.
",
};

pub(super) static PLAIN_HTTP_BUILT_URL: Explanation = Explanation {
    rule: Rule {
        id: "plain-http-built-url",
        severity: Severity::Note,
        why: "The program requests any host that it inserts here in clear.",
        refused_by: &[],
        fix: "put https:// in front, or take the whole address from the configuration",
        reference: "RFC 9110 §4.2.2",
    },
    title: "An address is built with http:// in front",
    long: "\
Like plain-http-url, where the host is only known when the program runs: \"http://\" + host,
f\"http://{host}/api\", `http://${host}`. A note, because the host may be the loopback.
",
};

pub(super) static VERIFICATION_OFF: Explanation = Explanation {
    rule: Rule {
        id: "verification-off",
        severity: Severity::Error,
        why: "The connection is encrypted, but to any server that answers: anyone on the way can pose as the server.",
        refused_by: &[],
        fix: "verify, and give the client the authority's certificate if it is not a public one",
        reference: "RFC 9110 §4.3.4; CWE-295",
    },
    title: "Certificates are not checked",
    long: "\
A setting of a TLS or HTTP library turns the check of the server's certificate off, such as
rejectUnauthorized: false, verify=False, InsecureSkipVerify: true, CURLOPT_SSL_VERIFYPEER 0 or
danger_accept_invalid_certs(true).

The usual reason is that the server's certificate comes from an authority that the client does
not know. Then give the client that authority: every library takes its certificate as a file,
and the fix in the report names the setting. For a device with lockgate, it is the file
ca.pem.

Only a plain \"off\" is found. A setting that depends on a variable is not reported: its origin
is for a person to judge. In Go, InsecureSkipVerify beside VerifyConnection or
VerifyPeerCertificate is not reported either: a program writes its own check that way.
",
};

pub(super) static VERIFICATION_OFF_EVERYWHERE: Explanation = Explanation {
    rule: Rule {
        id: "verification-off-everywhere",
        severity: Severity::Error,
        why: "It turns the check of certificates off for every connection of the program, also those of its libraries to \
              other servers.",
        refused_by: &[],
        fix: "remove it, and give the program the authority's certificate (NODE_EXTRA_CA_CERTS, SSL_CERT_FILE, \
              REQUESTS_CA_BUNDLE)",
        reference: "CWE-295",
    },
    title: "Certificates are not checked in the whole program",
    long: "\
A switch of a process or a machine: NODE_TLS_REJECT_UNAUTHORIZED=0, PYTHONHTTPSVERIFY=0,
ssl._create_default_https_context = ssl._create_unverified_context, GIT_SSL_NO_VERIFY,
http.sslVerify false, strict-ssl false, ServicePointManager.ServerCertificateValidationCallback,
a Chromium started with --ignore-certificate-errors.

Remove it. Node adds an authority with NODE_EXTRA_CA_CERTS=ca.pem, Python with SSL_CERT_FILE or
REQUESTS_CA_BUNDLE, git with http.sslCAInfo, npm with cafile.
",
};

pub(super) static HOSTNAME_CHECK_OFF: Explanation = Explanation {
    rule: Rule {
        id: "hostname-check-off",
        severity: Severity::Error,
        why: "The client accepts any certificate that the authority has given to anyone.",
        refused_by: &[],
        fix: "check the name, and give the certificate the name that clients use",
        reference: "RFC 9110 §4.3.4; RFC 9525; CWE-297",
    },
    title: "The name in the certificate is not checked",
    long: "\
The chain is checked, and the name is not: check_hostname = False, CURLOPT_SSL_VERIFYHOST 0,
verify_peer_name => false, NoopHostnameVerifier, a HostnameVerifier that returns true,
danger_accept_invalid_hostnames(true).

The usual reason is that the client uses an IP address or an alias. A certificate can have
several names, IP addresses too; and most libraries let a program say which name to expect.
",
};

pub(super) static ACCEPTS_ANY_CERTIFICATE: Explanation = Explanation {
    rule: Rule {
        id: "accepts-any-certificate",
        severity: Severity::Error,
        why: "This check accepts every certificate: anyone on the way can pose as the server.",
        refused_by: &[],
        fix: "remove it, and add the authority's certificate to the store of the platform's own check",
        reference: "CWE-295",
    },
    title: "A certificate check that accepts everything",
    long: "\
Code that replaces the platform's check and never refuses: an X509TrustManager with an
empty checkServerTrusted, a validation callback that returns true,
DangerousAcceptAnyServerCertificateValidator, a rustls ServerCertVerifier that asserts at once,
URLCredential(trust:) without SecTrustEvaluate, onReceivedSslError that proceeds,
TrustAllStrategy, setInsecure() on a device.

A method is reported only if accepting everything is all that it does.
",
};

pub(super) static INSECURE_COMMAND: Explanation = Explanation {
    rule: Rule {
        id: "insecure-command",
        severity: Severity::Error,
        why: "The command accepts any certificate, so anyone on the way can pose as the server, and the download is often \
              run.",
        refused_by: &[],
        fix: "remove the option; for a private authority: curl --cacert ca.pem, wget --ca-certificate=ca.pem",
        reference: "curl(1) --insecure; CWE-295",
    },
    title: "A command that does not check certificates",
    long: "\
curl -k and --insecure (also among other letters, as in -fsSLk, kept in a variable such as
CURL_OPTS, and in .curlrc), wget --no-check-certificate,
git -c http.sslVerify=false, pip --trusted-host, npm --strict-ssl=false, http --verify=no,
--insecure-skip-tls-verify, --tls-verify=false, --no-verify-ssl. In scripts, Dockerfiles,
Makefiles and CI files, and in strings of other languages. Commands to loopback, and commands that
are only printed (echo), are not reported.
",
};

pub(super) static CLEARTEXT_ALLOWED: Explanation = Explanation {
    rule: Rule {
        id: "cleartext-allowed",
        severity: Severity::Warning,
        why: "The platform's guard against plain HTTP is off, so nobody notices the next http://.",
        refused_by: &[],
        fix: "remove it, or allow the one host that needs it",
        reference: "Apple: NSAppTransportSecurity; Android: Network security configuration; CWE-319",
    },
    title: "Plain HTTP is allowed to a whole app",
    long: "\
NSAllowsArbitraryLoads and NSExceptionAllowsInsecureHTTPLoads in an Info.plist,
android:usesCleartextTraffic=\"true\" in a manifest, cleartextTrafficPermitted=\"true\" in a
network security configuration. A domain-config for one host is reported too: give the reason in an
allow comment.
",
};

pub(super) static VERIFICATION_OFF_IN_TESTS: Explanation = Explanation {
    rule: Rule {
        id: "verification-off-in-tests",
        severity: Severity::Note,
        why: "Test code that checks no certificates does not notice when the program stops checking them, and people copy it.",
        refused_by: &[],
        fix: "make an authority for the tests and trust it there",
        reference: "CWE-295",
    },
    title: "Certificates are not checked in test code",
    long: "\
The findings verification-off, verification-off-everywhere, hostname-check-off,
accepts-any-certificate and insecure-command, in test code: in folders named test, tests, spec,
testdata, testcases, fixtures, test_x and the like, and in files with names of tests (test_x.py,
x_test.go, x.spec.ts, XTest.java).
",
};

pub(super) static WARNINGS_SILENCED: Explanation = Explanation {
    rule: Rule {
        id: "verification-warnings-silenced",
        severity: Severity::Note,
        why: "The library warns of every unchecked request, and nobody sees the warnings.",
        refused_by: &[],
        fix: "remove it, and fix the code that it warns of",
        reference: "urllib3: InsecureRequestWarning",
    },
    title: "Warnings about unchecked certificates are silenced",
    long: "\
urllib3.disable_warnings(), and a filter that ignores InsecureRequestWarning.
",
};

pub(super) static UNUSED_ALLOW: Explanation = Explanation {
    rule: Rule {
        id: "unused-allow",
        severity: Severity::Note,
        why: "An allow comment or entry without a finding would hide the next one.",
        refused_by: &[],
        fix: "remove it, or correct its id; the form of a comment is: lockgate:allow ID reason",
        reference: "lockgate check --help",
    },
    title: "An allowed finding that does not exist",
    long: "\
A comment `lockgate:allow ID reason` allows the findings of that id in its own line, or in the
next line when it stands alone. A line `ID PATH [TEXT]` in the file .lockgate-allow at the
tree's root allows those in the files that the path fits, written as in .gitignore, whose line
contains the text.

Reported are a comment without a reason, with an unknown id, or without a finding to
allow; and a line of the file that matches no finding.
",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_listed_once_and_described_in_full() {
        let mut ids: Vec<_> = Explanation::all().iter().map(|explanation| explanation.id()).collect();
        for explanation in Explanation::all() {
            let id = explanation.id();
            assert!(id.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{id}");
            assert!(explanation.title().len() > 10 && explanation.why().ends_with('.'), "{id}");
            assert!(!explanation.fix().is_empty() && !explanation.reference().is_empty(), "{id}");
            assert!(explanation.long().lines().all(|line| line.len() <= 100), "{id}");
            assert!(std::ptr::eq(Explanation::of(id).unwrap(), *explanation));
        }
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), Explanation::all().len());
        assert!(Explanation::of("nothing").is_none());
    }
}
