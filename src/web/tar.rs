//! Reads a tar archive that stands in the program: names and contents, where they are, without a copy (POSIX.1-1988 ustar, with
//! the long names of pax and of GNU tar). Knows bytes. `files` calls it.

use crate::backports::Trim;

/// A block's size, in bytes.
const BLOCK: usize = 512;

/// A regular file in the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub name: String,
    pub bytes: &'static [u8],
}

/// The archive's regular files in their order. Folders are passed over. The error is a clause that says what is wrong.
pub(crate) fn entries(archive: &'static [u8]) -> Result<Vec<Entry>, String> {
    let mut entries = Vec::new();
    let mut rest = archive;
    // The name of the next entry, from an entry of its own.
    let mut long_name: Option<String> = None;
    while rest.len() >= BLOCK {
        let (head, after) = rest.split_at(BLOCK);
        if head.iter().all(|&byte| byte == 0) {
            return Ok(entries);
        }
        check(head)?;
        let size = octal(&head[124..136]).ok_or("an entry has no size")?;
        let size = usize::try_from(size).map_err(|_| "an entry is too large")?;
        let blocks = size.div_ceil(BLOCK).checked_mul(BLOCK).ok_or("an entry is too large")?;
        let bytes = after.get(..size).ok_or("it ends in the middle of a file")?;
        rest = after.get(blocks..).unwrap_or_default();
        match head[156] {
            b'0' | 0 | b'7' => {
                let name = long_name.take().map_or_else(|| name_of(head), Ok)?;
                entries.push(Entry { name, bytes });
            }
            b'5' => long_name = None,
            b'x' => long_name = pax_path(bytes)?.or(long_name),
            b'g' => {}
            b'L' => long_name = Some(text(until_nul(bytes))?),
            kind => {
                let name = long_name.take().map_or_else(|| name_of(head), Ok)?;
                return Err(match kind {
                    b'1' | b'2' => format!("{name} is a link; make the archive with --dereference"),
                    _ => format!("{name} is neither a file nor a folder"),
                });
            }
        }
    }
    match entries.is_empty() {
        true => Err("it is not a tar archive, or an empty one".into()),
        // The end is marked by two blocks of zeros, which some programs leave out.
        false => Ok(entries),
    }
}

/// The sum of a head's bytes, its own field taken as spaces.
fn check(head: &[u8]) -> Result<(), String> {
    let sum: u64 = head.iter().map(|&byte| u64::from(byte)).sum();
    let own: u64 = head[148..156].iter().map(|&byte| u64::from(byte)).sum();
    if octal(&head[148..156]) == Some(sum - own + 8 * u64::from(b' ')) {
        Ok(())
    } else {
        Err("it is not a tar archive, or a damaged one".into())
    }
}

/// A number in octal digits, with spaces or NUL around it.
fn octal(field: &[u8]) -> Option<u64> {
    let digits = field.trimmed_start();
    let end = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    let (digits, after) = digits.split_at(end);
    if digits.is_empty() || after.iter().any(|byte| !matches!(byte, 0 | b' ')) {
        return None;
    }
    digits.iter().try_fold(0_u64, |sum, &digit| {
        let value = (digit < b'8').then(|| u64::from(digit - b'0'))?;
        sum.checked_mul(8)?.checked_add(value)
    })
}

/// The name in a head, with the prefix that ustar has for long ones.
fn name_of(head: &[u8]) -> Result<String, String> {
    let name = text(until_nul(&head[..100]))?;
    // GNU's own format has other things there, and no NUL after the magic.
    let prefix = if &head[257..263] == b"ustar\0" { until_nul(&head[345..500]) } else { &[] };
    match prefix {
        [] => Ok(name),
        prefix => Ok(format!("{}/{name}", text(prefix)?)),
    }
}

/// The path in pax's records: `27 path=a/long/name\n`.
fn pax_path(mut records: &[u8]) -> Result<Option<String>, String> {
    let mut path = None;
    while !records.is_empty() {
        let parsed = (|| {
            let space = records.iter().position(|&byte| byte == b' ')?;
            let length: usize = std::str::from_utf8(&records[..space]).ok()?.parse().ok()?;
            let record = records.get(space + 1..length)?;
            Some((record.strip_suffix(b"\n")?, &records[length..]))
        })();
        let (record, rest) = parsed.ok_or("an entry's further attributes cannot be read")?;
        if let Some(value) = record.strip_prefix(b"path=") {
            path = Some(text(value)?);
        }
        records = rest;
    }
    Ok(path)
}

fn until_nul(field: &[u8]) -> &[u8] {
    &field[..field.iter().position(|&byte| byte == 0).unwrap_or(field.len())]
}

fn text(bytes: &[u8]) -> Result<String, String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| "a name is not UTF-8".into())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An archive with these entries: the kind, the name and the content of each.
    pub(crate) fn archive(of: &[(u8, &str, &[u8])]) -> Vec<u8> {
        let mut archive = Vec::new();
        for (kind, name, content) in of {
            let mut head = [0; BLOCK];
            head[..name.len()].copy_from_slice(name.as_bytes());
            head[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
            head[148..156].fill(b' ');
            head[156] = *kind;
            head[257..265].copy_from_slice(b"ustar\x0000");
            let sum: u64 = head.iter().map(|&byte| u64::from(byte)).sum();
            head[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
            archive.extend_from_slice(&head);
            archive.extend_from_slice(content);
            archive.resize(archive.len().next_multiple_of(BLOCK), 0);
        }
        archive.resize(archive.len() + 2 * BLOCK, 0);
        archive
    }

    fn names(archive: Vec<u8>) -> Result<Vec<String>, String> {
        entries(archive.leak()).map(|entries| entries.into_iter().map(|entry| entry.name).collect())
    }

    #[test]
    fn files_are_found_under_their_names_long_ones_too() {
        let long = format!("{}/name", "folder".repeat(30));
        let pax = format!("path={long}\n");
        let pax = format!("{} {pax}", pax.len() + 4);
        let found = entries(
            archive(&[
                (b'5', "./", b""),
                (b'0', "./index.html", b"page"),
                (b'g', "pax", b"19 comment=nothing\n"),
                (b'x', "pax", pax.as_bytes()),
                (b'0', "short", &[7; 1_000]),
                (b'L', "././@LongLink", &[long.as_bytes(), b"\0"].concat()),
                (0, "short", b""),
            ])
            .leak(),
        )
        .unwrap();
        let found: Vec<_> = found.iter().map(|entry| (entry.name.as_str(), entry.bytes.len())).collect();
        assert_eq!(found, [("./index.html", 4), (long.as_str(), 1_000), (long.as_str(), 0)]);
    }

    #[test]
    fn what_is_no_archive_or_a_damaged_one_is_refused() {
        let good = archive(&[(b'0', "a", b"content")]);
        assert_eq!(names(good.clone()).unwrap(), ["a"]);
        for (bytes, clause) in [
            (Vec::new(), "not a tar"),
            (b"PK\x03\x04".repeat(200), "not a tar"),
            (good[..BLOCK + 3].to_vec(), "in the middle"),
            (archive(&[(b'2', "link", b"")]), "link is a link"),
            (archive(&[(b'6', "pipe", b"")]), "pipe is neither"),
            (archive(&[(b'x', "pax", b"99 path=a\n"), (b'0', "a", b"")]), "attributes"),
        ] {
            let fault = names(bytes).unwrap_err();
            assert!(fault.contains(clause), "{fault}");
        }
        let mut damaged = good;
        damaged[3] ^= 1;
        assert!(names(damaged).unwrap_err().contains("damaged"));
    }
}
