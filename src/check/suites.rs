//! TLS cipher suites, grouped by their quality, with their IANA names (RFC 8446 §B.4 and the registry of TLS cipher
//! suites). Values only; the probes offer them, group by group.

/// A suite's number, and its name without `TLS_`.
pub(super) type Suite = (u16, &'static str);

/// Forward secrecy and authenticated encryption: every current client offers these with TLS 1.2.
pub(super) const MODERN: &[Suite] = &[
    (0xc02b, "ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
    (0xc02f, "ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
    (0xc02c, "ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"),
    (0xc030, "ECDHE_RSA_WITH_AES_256_GCM_SHA384"),
    (0xcca9, "ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"),
    (0xcca8, "ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"),
    (0x009e, "DHE_RSA_WITH_AES_128_GCM_SHA256"),
    (0x009f, "DHE_RSA_WITH_AES_256_GCM_SHA384"),
    (0xccaa, "DHE_RSA_WITH_CHACHA20_POLY1305_SHA256"),
];

/// TLS 1.3 (RFC 8446 §B.4).
pub(super) const TLS13: &[Suite] =
    &[(0x1301, "AES_128_GCM_SHA256"), (0x1302, "AES_256_GCM_SHA384"), (0x1303, "CHACHA20_POLY1305_SHA256")];

/// RFC 7465 prohibits them.
pub(super) const RC4: &[Suite] = &[
    (0xc007, "ECDHE_ECDSA_WITH_RC4_128_SHA"),
    (0xc011, "ECDHE_RSA_WITH_RC4_128_SHA"),
    (0xc002, "ECDH_ECDSA_WITH_RC4_128_SHA"),
    (0xc00c, "ECDH_RSA_WITH_RC4_128_SHA"),
    (0x0005, "RSA_WITH_RC4_128_SHA"),
    (0x0004, "RSA_WITH_RC4_128_MD5"),
];

/// Blocks of 64 bits (SWEET32), and single DES.
pub(super) const DES: &[Suite] = &[
    (0xc008, "ECDHE_ECDSA_WITH_3DES_EDE_CBC_SHA"),
    (0xc012, "ECDHE_RSA_WITH_3DES_EDE_CBC_SHA"),
    (0xc003, "ECDH_ECDSA_WITH_3DES_EDE_CBC_SHA"),
    (0xc00d, "ECDH_RSA_WITH_3DES_EDE_CBC_SHA"),
    (0x0016, "DHE_RSA_WITH_3DES_EDE_CBC_SHA"),
    (0x0013, "DHE_DSS_WITH_3DES_EDE_CBC_SHA"),
    (0x000a, "RSA_WITH_3DES_EDE_CBC_SHA"),
    (0x0015, "DHE_RSA_WITH_DES_CBC_SHA"),
    (0x0009, "RSA_WITH_DES_CBC_SHA"),
];

/// No encryption.
pub(super) const NULL: &[Suite] = &[
    (0xc006, "ECDHE_ECDSA_WITH_NULL_SHA"),
    (0xc010, "ECDHE_RSA_WITH_NULL_SHA"),
    (0xc001, "ECDH_ECDSA_WITH_NULL_SHA"),
    (0xc00b, "ECDH_RSA_WITH_NULL_SHA"),
    (0x003b, "RSA_WITH_NULL_SHA256"),
    (0x0002, "RSA_WITH_NULL_SHA"),
    (0x0001, "RSA_WITH_NULL_MD5"),
];

/// Keys of 40 and 56 bits (FREAK, Logjam).
pub(super) const EXPORT: &[Suite] = &[
    (0x0003, "RSA_EXPORT_WITH_RC4_40_MD5"),
    (0x0006, "RSA_EXPORT_WITH_RC2_CBC_40_MD5"),
    (0x0008, "RSA_EXPORT_WITH_DES40_CBC_SHA"),
    (0x000b, "DH_DSS_EXPORT_WITH_DES40_CBC_SHA"),
    (0x000e, "DH_RSA_EXPORT_WITH_DES40_CBC_SHA"),
    (0x0011, "DHE_DSS_EXPORT_WITH_DES40_CBC_SHA"),
    (0x0014, "DHE_RSA_EXPORT_WITH_DES40_CBC_SHA"),
    (0x0062, "RSA_EXPORT1024_WITH_DES_CBC_SHA"),
    (0x0064, "RSA_EXPORT1024_WITH_RC4_56_SHA"),
];

/// No certificate: anyone on the way can answer.
pub(super) const ANONYMOUS: &[Suite] = &[
    (0x00a7, "DH_anon_WITH_AES_256_GCM_SHA384"),
    (0x00a6, "DH_anon_WITH_AES_128_GCM_SHA256"),
    (0x006d, "DH_anon_WITH_AES_256_CBC_SHA256"),
    (0x006c, "DH_anon_WITH_AES_128_CBC_SHA256"),
    (0x003a, "DH_anon_WITH_AES_256_CBC_SHA"),
    (0x0034, "DH_anon_WITH_AES_128_CBC_SHA"),
    (0xc019, "ECDH_anon_WITH_AES_256_CBC_SHA"),
    (0xc018, "ECDH_anon_WITH_AES_128_CBC_SHA"),
    (0xc017, "ECDH_anon_WITH_3DES_EDE_CBC_SHA"),
    (0xc016, "ECDH_anon_WITH_RC4_128_SHA"),
    (0xc015, "ECDH_anon_WITH_NULL_SHA"),
    (0x001b, "DH_anon_WITH_3DES_EDE_CBC_SHA"),
    (0x0018, "DH_anon_WITH_RC4_128_MD5"),
    (0x0017, "DH_anon_EXPORT_WITH_RC4_40_MD5"),
];

/// Forward secrecy, with a mode that was broken again and again where the code did not run in constant time (Lucky 13).
pub(super) const CBC: &[Suite] = &[
    (0xc024, "ECDHE_ECDSA_WITH_AES_256_CBC_SHA384"),
    (0xc028, "ECDHE_RSA_WITH_AES_256_CBC_SHA384"),
    (0xc023, "ECDHE_ECDSA_WITH_AES_128_CBC_SHA256"),
    (0xc027, "ECDHE_RSA_WITH_AES_128_CBC_SHA256"),
    (0xc00a, "ECDHE_ECDSA_WITH_AES_256_CBC_SHA"),
    (0xc014, "ECDHE_RSA_WITH_AES_256_CBC_SHA"),
    (0xc009, "ECDHE_ECDSA_WITH_AES_128_CBC_SHA"),
    (0xc013, "ECDHE_RSA_WITH_AES_128_CBC_SHA"),
    (0x006b, "DHE_RSA_WITH_AES_256_CBC_SHA256"),
    (0x0067, "DHE_RSA_WITH_AES_128_CBC_SHA256"),
    (0x0039, "DHE_RSA_WITH_AES_256_CBC_SHA"),
    (0x0033, "DHE_RSA_WITH_AES_128_CBC_SHA"),
];

/// The session's key is sent encrypted with the certificate's key: an attacker who gets that key one day can read all
/// recorded traffic.
pub(super) const STATIC_RSA: &[Suite] = &[
    (0x009d, "RSA_WITH_AES_256_GCM_SHA384"),
    (0x009c, "RSA_WITH_AES_128_GCM_SHA256"),
    (0xc09d, "RSA_WITH_AES_256_CCM"),
    (0xc09c, "RSA_WITH_AES_128_CCM"),
    (0x003d, "RSA_WITH_AES_256_CBC_SHA256"),
    (0x003c, "RSA_WITH_AES_128_CBC_SHA256"),
    (0x0035, "RSA_WITH_AES_256_CBC_SHA"),
    (0x002f, "RSA_WITH_AES_128_CBC_SHA"),
    (0x0084, "RSA_WITH_CAMELLIA_256_CBC_SHA"),
    (0x0041, "RSA_WITH_CAMELLIA_128_CBC_SHA"),
];

const ALL: [&[Suite]; 9] = [MODERN, TLS13, RC4, DES, NULL, EXPORT, ANONYMOUS, CBC, STATIC_RSA];

/// A suite's name, or its number when it is not in these tables.
pub(super) fn name(number: u16) -> String {
    match ALL.iter().copied().flatten().find(|suite| suite.0 == number) {
        Some((_, name)) => format!("TLS_{name}"),
        None => format!("0x{number:04x}"),
    }
}

/// The numbers of the suites of several groups, in order.
pub(super) fn numbers(groups: &[&[Suite]]) -> Vec<u16> {
    groups.iter().copied().flatten().map(|suite| suite.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_suite_is_in_two_groups_and_each_is_in_the_right_one() {
        let mut all = numbers(&ALL);
        all.sort_unstable();
        let before = all.len();
        all.dedup();
        assert_eq!(all.len(), before);
        type Belongs = fn(&str) -> bool;
        let rules: [(&[Suite], Belongs); 7] = [
            (RC4, |name| name.contains("RC4_128") && !name.contains("anon")),
            (DES, |name| name.contains("DES_") && !name.contains("EXPORT")),
            (NULL, |name| name.contains("_NULL_")),
            (EXPORT, |name| name.contains("EXPORT")),
            (ANONYMOUS, |name| name.contains("_anon_")),
            (CBC, |name| name.contains("AES") && name.contains("_CBC_") && name.contains("DHE_")),
            (STATIC_RSA, |name| name.starts_with("RSA_WITH_")),
        ];
        for (group, belongs) in rules {
            for (number, name) in group {
                assert!(belongs(name), "{number:04x} {name}");
            }
        }
        assert_eq!(name(0x1301), "TLS_AES_128_GCM_SHA256");
        assert_eq!(name(0xfefe), "0xfefe");
    }
}
