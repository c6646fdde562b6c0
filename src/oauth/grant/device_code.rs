//! The device code grant (RFC 8628 §3.4): asked again and again, until the person has confirmed.
//!
//! As with an authorization code, the credential lives of the refresh token that it brings.

use super::Grant;
use super::TokenRequest;
use crate::secret::Secret;
use crate::token::TokenError;

/// What the device was told, and the person was not.
#[derive(Clone)]
pub(in crate::oauth) struct DeviceCode {
    pub(in crate::oauth) device_code: Secret,
}

impl Grant for DeviceCode {
    fn apply(&self, request: &mut TokenRequest) -> Result<(), TokenError> {
        request.set_text("grant_type", "urn:ietf:params:oauth:grant-type:device_code");
        request.set("device_code", self.device_code.clone());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_sends_what_rfc_8628_section_3_4_shows() {
        let mut request = TokenRequest::for_test();
        DeviceCode { device_code: Secret::new("GmRhmhcxhwAzkoEqiMEg") }.apply(&mut request).unwrap();
        assert_eq!(
            request.form(),
            "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code&device_code=GmRhmhcxhwAzkoEqiMEg"
        );
    }
}
