//! What people are told, here and outside.

use crate::error::{Answer, ApiError};
use crate::reply::Reply;
use crate::route::Call;
use engine::Caller;

/// `GET /_clerestory/notices`: the newest first; for those with a say also where each went.
pub(crate) fn list(call: &Call<'_>, caller: &Caller) -> Answer {
    Ok(Reply::json(call.app.engine.notices(caller)?))
}

/// `GET /_clerestory/notices/{id}`.
pub(crate) fn show(call: &Call<'_>, caller: &Caller) -> Answer {
    let id = call.request.part("id").parse();
    let id = id.map_err(|_| ApiError::illegal_argument("the number of a notice is a number"))?;
    Ok(Reply::json(call.app.engine.notice(caller, id)?))
}

/// `POST /_clerestory/notices/_test`: one for every target.
pub(crate) fn test(call: &Call<'_>, caller: &Caller) -> Answer {
    Ok(Reply::json(call.app.engine.test_notice(caller)?))
}

/// `POST /_clerestory/notices/_secret` with `secret`: gives the `mark` by which a target names it.
pub(crate) fn secret(call: &Call<'_>, caller: &Caller) -> Answer {
    let body = call.request.json()?;
    let secret = body["secret"].as_str();
    let secret =
        secret.ok_or_else(|| ApiError::illegal_argument("[secret] is required, as text"))?;
    Ok(Reply::json(call.app.engine.keep_target_secret(caller, secret)?))
}
