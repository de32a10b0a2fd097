//! Asks when an authority wants a certificate renewed (ACME Renewal Information, RFC 9773).

use super::chain;
use super::https::Https;
use super::messages::{Directory, RenewalInfo};
use super::session::get_unsigned;
use crate::error::AcmeFault;

/// The authority's suggestion for a certificate, and after how many seconds to ask again, if it says so. `None` when the
/// authority has no such service, or the certificate has no name for it.
pub(super) fn ask(
    https: &Https,
    directory: &Directory,
    certificate: &[u8],
) -> Result<Option<(RenewalInfo, Option<i64>)>, AcmeFault> {
    let Some((service, name)) = directory.renewal_info.as_ref().zip(chain::renewal_name(certificate)) else {
        return Ok(None);
    };
    let answer = get_unsigned(https, &format!("{}/{name}", service.trim_end_matches('/')))?;
    let info = answer.read(RenewalInfo::parse)?;
    let again = answer.retry_after().map(|wait| i64::try_from(wait.as_secs()).unwrap_or(i64::MAX));
    Ok(Some((info, again)))
}
