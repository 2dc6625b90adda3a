//! Pausing, resuming and reading again. Who may is decided by the copies themselves.

use super::link_to;
use crate::error::{Answer, ApiError};
use crate::route::Call;
use crate::ui::form::{self, Form};
use crate::ui::frame::{self, Section};
use engine::Caller;

/// `POST /_ui/copies/{name}/pause`.
pub(in crate::ui) fn pause(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Copies, || {
        let name = call.request.part("name");
        call.app.copies.pause(caller, name).map_err(ApiError::from)?;
        form::go_to(&link_to(name).with("done", "paused"))
    })
}

/// `POST /_ui/copies/{name}/resume`: also the first start, once the plan is signed.
pub(in crate::ui) fn resume(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Copies, || {
        let name = call.request.part("name");
        call.app.copies.run(caller, name).map_err(ApiError::from)?;
        form::go_to(&link_to(name).with("done", "resumed"))
    })
}

/// `POST /_ui/copies/{name}/resnapshot`, of all tables or one, by somebody who said that they know
/// what it does.
pub(in crate::ui) fn resnapshot(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Copies, || {
        let name = call.request.part("name");
        let form = Form::read(call.request)?;
        if form.word("sure").is_none() {
            let reason = "nothing was read again: tick that the source is to be read again";
            return Err(ApiError::illegal_argument(reason));
        }
        let table = form.word("table");
        call.app.copies.resnapshot(caller, name, table).map_err(ApiError::from)?;
        form::go_to(&link_to(name).with("done", "again"))
    })
}
