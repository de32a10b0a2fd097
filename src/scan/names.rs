//! Addresses that are names, or that use plain HTTP by design, and so are not a mistake.
//!
//! Knows text only. Called by `rules::urls`.

/// Whether this address is a name (of a namespace, a schema, a licence), or uses plain HTTP by design.
pub(super) fn is_a_name(host: &str, path: &str) -> bool {
    const HOSTS: &[&str] = &[
        "www.w3.org",
        "w3.org",
        "json-schema.org",
        "purl.org",
        "purl.oclc.org",
        "xmlns.com",
        "schema.org",
        "www.schema.org",
        "tempuri.org",
        "ns.adobe.com",
        "www.opengis.net",
        "docs.oasis-open.org",
        "relaxng.org",
        "xmlns.jcp.org",
        "xmlns.oracle.com",
        "java.sun.com",
        "www.omg.org",
        "ogp.me",
        "rdfs.org",
        "uri.etsi.org",
        "hl7.org",
        "unitsofmeasure.org",
        "loinc.org",
        "snomed.info",
        "dublincore.org",
        "id.loc.gov",
        "dbpedia.org",
        "www.wikidata.org",
        "search.yahoo.com",
        "www.itunes.com",
        "www.iana.org",
        "xspf.org",
        "www.xmlsoap.org",
        "ws-i.org",
        "specs.openid.net",
        "openid.net",
        "a9.com",
        "opensource.org",
        "www.opensource.org",
        "unlicense.org",
        "creativecommons.org",
        "mozilla.org",
        "www.mozilla.org",
        "www.boost.org",
        "www.unicode.org",
        "xml.org",
        "xml.apache.org",
        "apache.org",
        "javax.xml",
        "www.sitemaps.org",
        "www.idpf.org",
        "www.daisy.org",
        "sodipodi.sourceforge.net",
        "www.inkscape.org",
        "inkscape.sourceforge.net",
        "www.springframework.org",
        "www.hibernate.org",
        "hibernate.org",
        "maven.apache.org",
        "logging.apache.org",
        "www.google.com/schemas",
        "ant.apache.org",
        "xmlpull.org",
        "saxproject.org",
        "www.jaxen.org",
        "exslt.org",
        "icl.com",
        "www.ietf.org",
        "vocab.getty.edu",
        "www.gnu.org",
        "www.apache.org",
        "doi.org",
        "dx.doi.org",
        "www.onvif.org",
        "www.sonos.com/services",
        "www.topografix.com",
        "earth.google.com",
        "axschema.org",
        // Plain by design: probes for captive portals, and signed answers of timestamp authorities (RFC 3161).
        "ts.ssl.com",
        "time.certum.pl",
        "rfc3161timestamp.globalsign.com",
        "connectivitycheck.gstatic.com",
        "connectivitycheck.android.com",
        "clients3.google.com",
        "captive.apple.com",
        "detectportal.firefox.com",
        "www.msftconnecttest.com",
        "www.msftncsi.com",
        "nmcheck.gnome.org",
        "connectivity-check.ubuntu.com",
        "network-test.debian.org",
        "ping.archlinux.org",
        "conncheck.opensuse.org",
        "connectivitycheck.platform.hicloud.com",
        "metadata.google.internal",
        "metadata.tencentyun.com",
        "metadata",
    ];
    const ENDS: &[&str] = &[
        ".xsd",
        ".dtd",
        ".rng",
        ".ent",
        ".wsdl",
        ".crl",
        ".ocsp",
        "/generate_204",
        "#",
        ".owl",
        ".rdf",
        ".xslt",
    ];
    const PARTS: &[&str] = &[
        "/xmlns",
        "/ns/",
        "/schemas/",
        "/schema/",
        "/dtd/",
        "/DTD/",
        "/DTDs/",
        "/namespace",
        "/licenses/",
        "/license/",
        "/LICENSE",
        "/2000/",
        "/2001/",
        "/1999/",
        "/xml/",
        "/terms/",
        "/vocab",
        "/ns:",
        "/ns#",
        "/rel/",
        "/rels/",
        "/StructureDefinition/",
        "/ValueSet/",
        "/CodeSystem/",
        "/codesystem/",
        // Links to share a page, which a browser opens.
        "/sharer",
        "/share.php",
        "/submit?url",
        "/intent/tweet",
        "/pin/create",
    ];
    // Programs send no fragment; `#/` and `#!` are pages of an application in a browser.
    let fragment = path.split_once('#').map_or("", |(_, fragment)| fragment);
    let is_of_a_vocabulary = fragment.bytes().next().is_some_and(|first| first.is_ascii_alphabetic());
    HOSTS.contains(&host)
        || [
            "schemas.",
            "schema.",
            "xmlns.",
            "ns.",
            "ocsp",
            "crl.",
            "crl3.",
            "crl4.",
            "cacerts.",
            "cacert.",
            "timestamp.",
            "tsa.",
        ]
        .iter()
        .any(|start| host.starts_with(start))
        || is_of_a_vocabulary
        || is_the_text_of_a_licence(path)
        || ENDS.iter().any(|end| path.ends_with(end))
        || PARTS.iter().any(|part| path.contains(part))
        || path.ends_with("/ns")
        || path.ends_with("/schema")
        || host == "opcfoundation.org" && path.starts_with("/UA/")
        || host == "www.apple.com" && path.starts_with("/DTDs")
}

/// `/mitlicense.html`: a page, not a service about licences.
fn is_the_text_of_a_licence(path: &str) -> bool {
    let file = path.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    (file.contains("license") || file.contains("licence"))
        && [".html", ".htm", ".txt", ".md", ".php"].iter().any(|end| file.ends_with(end))
}

/// Whether this is a mirror of signed packages, which may be fetched in clear: a mirror of the distribution itself, or one
/// with the distribution's name as its only folder.
pub(super) fn is_a_mirror(host: &str, path: &str) -> bool {
    const HOSTS: &[&str] = &[
        "deb.debian.org",
        "security.debian.org",
        "httpredir.debian.org",
        "snapshot.debian.org",
        "archive.ubuntu.com",
        "security.ubuntu.com",
        "ports.ubuntu.com",
        "archive.debian.org",
        "old-releases.ubuntu.com",
        "ddebs.ubuntu.com",
        "archive.raspberrypi.org",
        "archive.raspberrypi.com",
    ];
    const FOLDERS: &[&str] = &["/debian", "/debian-security", "/ubuntu", "/ubuntu-ports", "/raspbian"];
    HOSTS.contains(&host)
        || host.ends_with(".archive.ubuntu.com")
        || host.starts_with("ftp.") && host.ends_with(".debian.org")
        || FOLDERS.contains(&path.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_that_are_plain_by_design_are_known() {
        for (host, path) in [
            ("www.w3.org", "/2000/svg"),
            ("schemas.android.com", "/apk/res/android"),
            ("json-schema.org", "/draft-07/schema#"),
            ("acme.io", "/api.xsd"),
            ("ocsp.acme.io", "/"),
            ("acme.io", "/ns/2020"),
            ("www.gnu.org", "/licenses/"),
            ("acme.io", "/ns:size"),
            ("acme.io", "/terms#name"),
        ] {
            assert!(is_a_name(host, path), "{host}{path}");
        }
        for (host, path) in
            [("api.acme.io", "/v1/data"), ("api.openweathermap.org", "/data/2.5"), ("acme.io", "")]
        {
            assert!(!is_a_name(host, path), "{host}{path}");
        }
    }
}
