//! Signed requests (RFC 7515 as RFC 8555 §6.2 uses it): the account's key, its public half as a JWK with its thumbprint, and
//! the binding to an external account.
//!
//! Knows ring and JSON; no network, no file. `session` signs every request with it, and `account` makes the key.

use ring::digest;
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{EcdsaKeyPair, KeyPair, ECDSA_P256_SHA256_FIXED_SIGNING};
use serde_json::{json, Value};
use zeroize::Zeroizing;

use super::base64url;

/// The private key of an account: ECDSA on P-256 (ES256). `Debug` shows only the public half's thumbprint.
pub(super) struct AccountKey {
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

/// The signer: the account's URL, or the key itself before the account has a URL.
#[derive(Debug, Clone, Copy)]
pub(super) enum Signer<'a> {
    Jwk,
    Account(&'a str),
}

/// The key could not be made or read. No error says more about a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unusable;

impl AccountKey {
    /// A new key, and its PKCS#8 encoding to store.
    pub(super) fn generate() -> Result<(AccountKey, Zeroizing<Vec<u8>>), Unusable> {
        let random = SystemRandom::new();
        let pkcs8 =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).map_err(|_| Unusable)?;
        Ok((AccountKey::from_pkcs8(pkcs8.as_ref())?, pkcs8.as_ref().to_vec().into()))
    }

    pub(super) fn from_pkcs8(pkcs8: &[u8]) -> Result<AccountKey, Unusable> {
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, &random)
            .map_err(|_| Unusable)?;
        Ok(AccountKey { pair, random })
    }

    /// The public key as a JWK (RFC 7518 §6.2.1).
    pub(super) fn jwk(&self) -> Value {
        let [x, y] = self.coordinates();
        json!({"kty": "EC", "crv": "P-256", "x": x, "y": y})
    }

    /// SHA-256 over the JWK's members in the order of their names (RFC 7638).
    pub(super) fn thumbprint(&self) -> String {
        let [x, y] = self.coordinates();
        let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        base64url::encode(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref())
    }

    /// The key authorization that the authority must find (RFC 8555 §8.1).
    pub(super) fn authorization(&self, token: &str) -> String {
        format!("{token}.{}", self.thumbprint())
    }

    /// A request's body: the flattened JSON serialization (RFC 7515 §7.2.2). `payload` is `None` for a POST-as-GET
    /// (RFC 8555 §6.3).
    pub(super) fn sign(
        &self,
        signer: Signer<'_>,
        url: &str,
        nonce: &str,
        payload: Option<&Value>,
    ) -> Result<Vec<u8>, Unusable> {
        let mut protected = json!({"alg": "ES256", "url": url, "nonce": nonce});
        match signer {
            Signer::Jwk => protected["jwk"] = self.jwk(),
            Signer::Account(account) => protected["kid"] = account.into(),
        }
        let payload = payload.map_or_else(String::new, Value::to_string);
        let jws = flattened(&protected, payload.as_bytes(), |input| {
            self.pair
                .sign(&self.random, input)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| Unusable)
        })?;
        Ok(jws.to_string().into_bytes())
    }

    /// The proof that the owner of the external account `kid`, who knows `secret`, binds it to this key (RFC 8555 §7.3.4).
    pub(super) fn bind_to(&self, kid: &str, secret: &[u8], new_account_url: &str) -> Value {
        let protected = json!({"alg": "HS256", "kid": kid, "url": new_account_url});
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let signed: Result<Value, std::convert::Infallible> =
            flattened(&protected, self.jwk().to_string().as_bytes(), |input| {
                Ok(hmac::sign(&key, input).as_ref().to_vec())
            });
        match signed {
            Ok(jws) => jws,
            Err(never) => match never {},
        }
    }

    /// The public key is 0x04, then both coordinates in full (SEC 1 §2.3.3).
    fn coordinates(&self) -> [String; 2] {
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        [base64url::encode(x), base64url::encode(y)]
    }
}

impl std::fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccountKey").field("thumbprint", &self.thumbprint()).finish_non_exhaustive()
    }
}

fn flattened<E>(
    protected: &Value,
    payload: &[u8],
    sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>,
) -> Result<Value, E> {
    let protected = base64url::encode(protected.to_string().as_bytes());
    let payload = base64url::encode(payload);
    let signature = sign(format!("{protected}.{payload}").as_bytes())?;
    Ok(json!({"protected": protected, "payload": payload, "signature": base64url::encode(&signature)}))
}

#[cfg(test)]
mod tests {
    use ring::signature::{UnparsedPublicKey, ECDSA_P256_SHA256_FIXED};

    use super::*;

    /// RFC 7515 appendix A.3.1.
    const X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
    const Y: &str = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";
    const D: &str = "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI";

    fn key_of_the_rfc() -> AccountKey {
        let [d, x, y] = [D, X, Y].map(|text| base64url::decode(text).unwrap());
        let public = [&[4][..], &x, &y].concat();
        let pair = EcdsaKeyPair::from_private_key_and_public_key(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            &d,
            &public,
            &SystemRandom::new(),
        );
        AccountKey { pair: pair.unwrap(), random: SystemRandom::new() }
    }

    fn part(jws: &Value, name: &str) -> Vec<u8> {
        base64url::decode(jws[name].as_str().unwrap()).unwrap()
    }

    fn signed_part(jws: &Value) -> String {
        format!("{}.{}", jws["protected"].as_str().unwrap(), jws["payload"].as_str().unwrap())
    }

    #[test]
    fn the_key_of_rfc_7515_has_its_coordinates_and_verifies_its_signature() {
        let key = key_of_the_rfc();
        assert_eq!(key.jwk(), json!({"kty": "EC", "crv": "P-256", "x": X, "y": Y}));
        // RFC 7515 appendix A.3.1: header, payload and signature as they stand there.
        let input = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let signature =
            "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.pair.public_key().as_ref())
            .verify(input.as_bytes(), &base64url::decode(signature).unwrap())
            .unwrap();
    }

    /// HMAC-SHA-256 with the key and the input of RFC 7515 appendix A.1.1, whose header was written by hand.
    #[test]
    fn an_hmac_is_the_one_of_rfc_7515() {
        let secret = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
        let input = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let key = hmac::Key::new(hmac::HMAC_SHA256, &base64url::decode(secret).unwrap());
        let signature = base64url::encode(hmac::sign(&key, input.as_bytes()).as_ref());
        assert_eq!(signature, "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    }

    /// RFC 7638 §3.1 has an RSA key only; this is the elliptic one of RFC 7515, hashed by openssl and, apart, by Python.
    #[test]
    fn the_thumbprint_is_over_the_members_in_order() {
        let key = key_of_the_rfc();
        assert_eq!(key.thumbprint(), "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U");
        assert_eq!(key.authorization("token"), format!("token.{}", key.thumbprint()));
    }

    #[test]
    fn a_request_is_signed_as_rfc_8555_wants_it() {
        let key = key_of_the_rfc();
        let verify = |jws: &Value| {
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.pair.public_key().as_ref())
                .verify(signed_part(jws).as_bytes(), &part(jws, "signature"))
                .unwrap();
        };
        let (url, nonce) = ("https://example.com/acme/new-account", "6S8IqOGY7eL2lsGoTZYifg");
        let first = key.sign(Signer::Jwk, url, nonce, Some(&json!({"a": 1}))).unwrap();
        let first: Value = serde_json::from_slice(&first).unwrap();
        verify(&first);
        assert_eq!(part(&first, "payload"), br#"{"a":1}"#);
        let protected: Value = serde_json::from_slice(&part(&first, "protected")).unwrap();
        assert_eq!(protected, json!({"alg": "ES256", "url": url, "nonce": nonce, "jwk": key.jwk()}));

        let get = key.sign(Signer::Account("https://example.com/acme/acct/1"), url, nonce, None).unwrap();
        let get: Value = serde_json::from_slice(&get).unwrap();
        verify(&get);
        assert_eq!(get["payload"], "");
        let protected: Value = serde_json::from_slice(&part(&get, "protected")).unwrap();
        assert_eq!(protected["kid"], "https://example.com/acme/acct/1");
        assert!(protected.get("jwk").is_none());
    }

    #[test]
    fn a_binding_holds_the_public_key_under_the_other_accounts_hmac() {
        let key = key_of_the_rfc();
        let binding = key.bind_to("kid-1", b"secret", "https://example.com/acme/new-account");
        let protected: Value = serde_json::from_slice(&part(&binding, "protected")).unwrap();
        assert_eq!(
            protected,
            json!({"alg": "HS256", "kid": "kid-1", "url": "https://example.com/acme/new-account"})
        );
        assert_eq!(serde_json::from_slice::<Value>(&part(&binding, "payload")).unwrap(), key.jwk());
        let secret = hmac::Key::new(hmac::HMAC_SHA256, b"secret");
        hmac::verify(&secret, signed_part(&binding).as_bytes(), &part(&binding, "signature")).unwrap();
    }

    #[test]
    fn a_key_is_the_same_again_from_its_encoding_and_debug_hides_it() {
        let (key, pkcs8) = AccountKey::generate().unwrap();
        assert_eq!(AccountKey::from_pkcs8(&pkcs8).unwrap().jwk(), key.jwk());
        assert_eq!(AccountKey::from_pkcs8(&pkcs8[1..]).unwrap_err(), Unusable);
        assert_eq!(format!("{key:?}"), format!("AccountKey {{ thumbprint: \"{}\", .. }}", key.thumbprint()));
    }
}
