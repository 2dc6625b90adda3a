//! What is done with saved searches: each is a form, and changes nothing but one's own.

use super::{Kept, link_to};
use crate::backend;
use crate::error::{Answer, ApiError};
use crate::route::Call;
use crate::ui::form::{self, Form};
use crate::ui::frame::{self, Section};
use crate::ui::link::Link;
use engine::{Caller, NewSaved, SavedKind};

/// `POST /_ui/saved`: a question under a name.
pub(in crate::ui) fn save(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Search, || {
        let form = Form::read(call.request)?;
        let wanted = wanted(&form, Kept::of_form(&form)?.body());
        let saved = backend::save(&call.app.engine, caller, SavedKind::Search, &wanted)?;
        form::go_to(&link_to(&saved.id))
    })
}

/// `GET /_ui/saved/{id}`: leads to the page that asks it.
pub(in crate::ui) fn open(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Search, || {
        let id = call.request.part("id");
        let saved = backend::saved_object(&call.app.engine, caller, SavedKind::Search, id, None)?;
        form::go_to(&Kept::of(&saved).link().with("saved", id))
    })
}

/// `POST /_ui/saved/{id}`: another name, shared or not; with a question also that.
pub(in crate::ui) fn change(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Search, || {
        let engine = &call.app.engine;
        let (kind, id) = (SavedKind::Search, call.request.part("id"));
        let form = Form::read(call.request)?;
        let base = form.text("version").parse::<u32>();
        let base = base.map_err(|_| ApiError::illegal_argument("[version] is a number"))?;
        let body = match form.word("page") {
            Some(_) => Kept::of_form(&form)?.body(),
            None => backend::saved_object(engine, caller, kind, id, None)?.body,
        };
        backend::save_again(engine, caller, kind, id, base, &wanted(&form, body))?;
        form::go_to(&link_to(id))
    })
}

/// `POST /_ui/saved/{id}/copy`: one of one's own that asks the same.
pub(in crate::ui) fn copy(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Search, || {
        let engine = &call.app.engine;
        let (kind, id) = (SavedKind::Search, call.request.part("id"));
        let saved = backend::saved_object(engine, caller, kind, id, None)?;
        let (name, description, body) = (saved.name, saved.description, saved.body);
        let wanted = NewSaved { name, description, is_shared: false, body };
        let copied = backend::save(engine, caller, kind, &wanted)?;
        form::go_to(&link_to(&copied.id))
    })
}

/// `POST /_ui/saved/{id}/delete`.
pub(in crate::ui) fn delete(call: &Call<'_>, caller: &Caller) -> Answer {
    frame::guarded(caller, Section::Search, || {
        let id = call.request.part("id");
        backend::delete_saved(&call.app.engine, caller, SavedKind::Search, id)?;
        form::go_to(&Link::to("/_ui/saved"))
    })
}

fn wanted(form: &Form, body: serde_json::Value) -> NewSaved {
    NewSaved {
        name: form.text("name").to_owned(),
        description: form.text("description").to_owned(),
        is_shared: form.word("shared").is_some(),
        body,
    }
}
