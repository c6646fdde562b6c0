//! Further steps to a token (`then`): each is a request written out in the file, made with the token before it.
//!
//! A refresh token is only looked for in the grant's own reply, which has been kept by now: whatever happens here, it
//! is not lost. The steps are gone anew with every token.

use super::OAuthClient;
use super::obtained::Obtained;
use crate::oauth::explain::Step;
use crate::oauth::request::{Described, TokenRequest};
use crate::oauth::response;
use crate::oauth::settings::StepSettings;
use crate::token::{Moment, TokenError};

impl OAuthClient {
    /// Goes all steps.
    pub(super) async fn go_on(&self, mut obtained: Obtained, steps: &mut Vec<Step>) -> Result<Obtained, TokenError> {
        for (index, step) in self.settings.then.iter().enumerate() {
            obtained = self.go(index, step, obtained, steps).await?;
        }
        Ok(obtained)
    }

    async fn go(
        &self,
        index: usize,
        settings: &StepSettings,
        before: Obtained,
        steps: &mut Vec<Step>,
    ) -> Result<Obtained, TokenError> {
        let request = self.step_request(index, settings, &before).await?;
        let mut step = Step::going_on(&request, index);
        let issued = Moment::now();
        let places = &settings.response;
        let result = self
            .exchange(&request, &mut step, |answer, body| match settings.keeps_token {
                true => {
                    let values = response::values(answer, body, places, issued.wall)?.over(&before.values)?;
                    Ok(Obtained { values, ..before })
                }
                false => {
                    let response = response::read(answer, body, places, &self.settings, issued.wall)?;
                    let values = response.values.over(&before.values)?;
                    Ok(Obtained { token: response.access_token, issued, lifetime: Some(response.lifetime), values })
                }
            })
            .await;
        step.ended(result.as_ref().map(|obtained| meaning(settings, obtained)), &self.settings);
        steps.push(step);
        result
    }

    async fn step_request(
        &self,
        index: usize,
        settings: &StepSettings,
        before: &Obtained,
    ) -> Result<TokenRequest, TokenError> {
        let words = before.words();
        let mut request = TokenRequest::new(settings.request.url.clone());
        let described = self.blocking(move |settings| {
            settings.then.get(index).map(|step| Described::read(&step.request, &words)).transpose()
        });
        if let Some(described) = described.await? {
            described.write(&mut request);
        }
        // A server may repeat it although this step does not send it.
        request.conceal(before.token.clone());
        Ok(request)
    }
}

fn meaning(settings: &StepSettings, obtained: &Obtained) -> String {
    match settings.keeps_token {
        true => "further values; the token is still the one before".to_owned(),
        false => obtained.meaning(),
    }
}
