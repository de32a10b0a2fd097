//! `Identity::from_pem`: any bytes as the certificate and the key, with a NUL between them; without one, as both.
//! The keys in the corpus were made for it and guard nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lockgate::Identity;

/// A run of so many letters and digits is in no message by itself.
const TELLING: usize = 24;

fuzz_target!(|input: &[u8]| {
    let mut halves = input.splitn(2, |byte| *byte == 0);
    let certificate = halves.next().unwrap_or_default();
    let key = halves.next().unwrap_or(certificate);
    let outcome = Identity::from_pem(certificate, key);

    // The same file, as other systems end its lines.
    if !input.contains(&b'\r') {
        let crlf = |text: &[u8]| text.split(|byte| *byte == b'\n').collect::<Vec<_>>().join(&b"\r\n"[..]);
        let again = Identity::from_pem(&crlf(certificate), &crlf(key));
        assert_eq!(outcome.is_ok(), again.is_ok(), "{outcome:?} {again:?}");
    }
    let told = match &outcome {
        Err(error) => format!("{error} {error:?}"),
        Ok(identity) => {
            assert!(identity.not_before() <= identity.not_after());
            let names = identity.dns_names();
            assert!(names.iter().map(String::len).sum::<usize>() <= certificate.len());
            for name in names {
                let host = name.replacen('*', "a", 1);
                assert!(identity.is_valid_for(&host), "{name}");
            }
            format!("{identity:?}")
        }
    };
    assert!(told.len() <= 4096 + certificate.len());
    for run in key.split(|byte| !byte.is_ascii_alphanumeric()).filter(|run| run.len() >= TELLING) {
        let run = String::from_utf8_lossy(run);
        assert!(!told.contains(&*run), "something of the key is told: {told}");
    }
});
