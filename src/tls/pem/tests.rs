use super::*;

fn section(label: &str, base64: &str) -> String {
    format!("-----BEGIN {label}-----\n{base64}\n-----END {label}-----\n")
}

fn fault(text: &str) -> String {
    match read(text.as_bytes()) {
        Err(fault) => fault.to_string(),
        Ok(_) => panic!("accepted: {text}"),
    }
}

#[test]
fn certificates_keep_their_order_and_the_first_key_counts() {
    let text = [
        "Bag Attributes: none\n".to_string(),
        section("CERTIFICATE", "AAAA"),
        section("EC PARAMETERS", "BggqhkjOPQMBBw=="),
        section("EC PRIVATE KEY", "BBBB"),
        section("CERTIFICATE", "CCCC"),
        section("PRIVATE KEY", "DDDD"),
    ]
    .concat();
    for text in [text.clone(), text.replace('\n', "\r\n")] {
        let contents = read(text.as_bytes()).unwrap();
        assert_eq!(contents.certificates, [vec![0, 0, 0].into(), vec![8, 32, 130].into()]);
        assert!(matches!(contents.key, Key::Plain(PrivateKeyDer::Sec1(_))));
    }
}

#[test]
fn what_is_written_is_read_back() {
    for length in [0, 1, 2, 3, 47, 48, 49, 96, 1000] {
        let der: Vec<u8> = (0..length).map(|at| (at * 7) as u8).collect();
        let text = write("CERTIFICATE", &der);
        assert!(text.lines().all(|line| line.len() <= 64) && text.ends_with("-----END CERTIFICATE-----\n"));
        assert_eq!(read(text.as_bytes()).unwrap().certificates, [der.into()]);
    }
    assert_eq!(write("X", b"any carnal"), "-----BEGIN X-----\nYW55IGNhcm5hbA==\n-----END X-----\n");
}

#[test]
fn a_lost_line_end_a_mark_and_blanks_lose_no_section() {
    let (one, two) = (section("CERTIFICATE", "AAAA"), section("X509 CERTIFICATE", "CCCC"));
    for (text, lines) in [
        (format!("{}{two}", one.trim_end()), &[3][..]),
        (format!("{}{two}", one.trim_end()).replace('\n', "\r\n"), &[3]),
        (format!("{one}{two}").replace('\n', "\r"), &[]),
        (format!("\u{feff}{one}{two}"), &[]),
        (format!("\t{one}  {two}"), &[1, 4]),
        (format!("{one}-----END CERTIFICATE-----\n{two}"), &[4]),
        (format!("{one}\u{feff}{two}"), &[]),
        (format!("{}\u{feff}{two}", one.trim_end()), &[3]),
        (format!("{}{two}", one.replace("\n-----END", "-----END")), &[2]),
    ] {
        let contents = read(text.as_bytes()).unwrap();
        assert_eq!(contents.certificates, [vec![0, 0, 0].into(), vec![8, 32, 130].into()], "{text}");
        let told: Vec<usize> = contents.unread.iter().map(|unread| unread.line).collect();
        assert_eq!(told, lines, "{text}");
    }
}

#[test]
fn no_text_is_a_panic_and_nothing_of_a_section_gets_into_a_message() {
    const PIECES: &[&str] = &[
        "-----BEGIN CERTIFICATE-----",
        "-----END CERTIFICATE-----",
        "-----BEGIN PRIVATE KEY-----",
        "-----END PRIVATE KEY-----",
        "-----BEGIN ",
        "-----",
        "U0VDUkVUU0VDUkVU",
        "U0VDUkVUU0VDUkVUU0VDUkVUU0VDUkVUU0VDUkVUU0VDUkVUU0VDUkVUU0VDUkVU",
        "\n",
        "\r\n",
        "\n",
        "Proc-Type: 4,ENCRYPTED\n",
        "\u{feff}",
        "PKCS7",
        "subject=CN = x",
    ];
    for input in crate::fuzzing::inputs(30_000, PIECES) {
        let said = match read(&input) {
            Ok(contents) => format!("{:?}", contents.unread),
            Err(fault) => fault.to_string(),
        };
        assert!(!said.contains("U0VD"), "{said}: {}", String::from_utf8_lossy(&input));
    }
}

#[test]
fn a_file_without_pem_is_empty_and_not_an_error() {
    for text in [&b""[..], b"hello\n", &[0x30, 0x82, 0xff, 0x00]] {
        let contents = read(text).unwrap();
        assert!(contents.certificates.is_empty());
        assert!(matches!(contents.key, Key::Absent));
    }
}

#[test]
fn an_encrypted_key_is_known_in_both_forms() {
    let modern = section("ENCRYPTED PRIVATE KEY", "AAAA");
    assert!(matches!(read(modern.as_bytes()).unwrap().key, Key::Encrypted));
    let legacy = section("EC PRIVATE KEY", "Proc-Type: 4,ENCRYPTED\r\nDEK-Info: AES-256-CBC,00\r\n\r\nAAAA");
    assert!(matches!(read(legacy.as_bytes()).unwrap().key, Key::Encrypted));
}

#[test]
fn damage_is_named_without_a_byte_of_the_key() {
    let key = "U0VDUkVUU0VDUkVU";
    for (text, words) in [
        (section("PRIVATE KEY", key).replace('\n', ""), "lost its line breaks"),
        (section("PRIVATE KEY", key).replace('\n', "\\n"), "lost its line breaks"),
        (format!("-----BEGIN PRIVATE KEY-----\n{key}\n"), "cut off"),
        (format!("-----BEGIN PRIVATE KEY----- {key}\n"), "five dashes"),
        (section("PRIVATE KEY", &format!("{key}*")), "not base64"),
    ] {
        let message = fault(&text);
        assert!(message.contains(words), "{message}");
        assert!(message.contains("copy the file again"), "{message}");
        assert!(!message.contains("U0VD"), "{message}");
    }
}
