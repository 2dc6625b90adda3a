//! Looks what a source keeps for a copy while nobody follows it: that must not grow without bounds
//! because somebody forgot the copy, or because its snapshot takes long.

use crate::copies::Copy;
use crate::file::CopyFile;
use crate::runner::Trouble;
use crate::{Source, SourceError, Watched, registry};
use std::sync::Arc;
use std::time::Duration;

/// It is looked at so often.
const WATCH_EVERY: Duration = Duration::from_secs(10);

/// Watches a copy that is paused, until it goes on.
pub(crate) async fn watch_paused(copy: Arc<Copy>) {
    while copy.run().is_some_and(|run| run.reached.is_some()) {
        match look_at_source(&copy).await {
            Ok(Watched::Nothing) => return,
            Ok(Watched::Keeps(lag)) => copy.note_kept(lag),
            Ok(Watched::GivenUp(why)) | Err(Trouble::Anew(why)) => {
                tracing::warn!(copy = copy.name, why, "a paused copy begins anew when it goes on");
                return copy.lose_while_paused(&why);
            }
            // Told when it goes on, if it is still so.
            Err(trouble) => tracing::debug!(copy = copy.name, ?trouble, "a paused copy's source"),
        }
        if copy.stopped_within(WATCH_EVERY).await {
            return;
        }
    }
}

async fn look_at_source(copy: &Copy) -> Result<Watched, Trouble> {
    let version = copy.version_to_run().map_err(Trouble::Later)?;
    let file = CopyFile::parse(&version.yaml);
    let file = file.map_err(|error| Trouble::Later(error.to_string()))?;
    let secret = match &file.secret {
        Some(name) => {
            let secret = copy.engine.source_secret(name);
            Some(secret.map_err(|error| Trouble::Later(error.reason))?)
        }
        None => None,
    };
    let source = registry::open(&file.kind, &file.settings, &file.name, secret);
    Ok(source.map_err(Trouble::Later)?.watch().await?)
}

/// Watches while a snapshot is read; ends with what is wrong about it.
pub(crate) async fn watch_snapshot(copy: &Copy, source: &dyn Source) -> Trouble {
    loop {
        tokio::time::sleep(WATCH_EVERY).await;
        match source.watch().await {
            Ok(Watched::Nothing) => return std::future::pending().await,
            Ok(Watched::Keeps(lag)) => copy.note_kept(lag),
            // Not anew by itself: it would come to the same again and again.
            Ok(Watched::GivenUp(why)) => {
                return Trouble::Pause(format!(
                    "{why}; make room at the source and raise the bound, or copy fewer tables at \
                     first; then everything is read again with: clerestory copy resume {}",
                    copy.name
                ));
            }
            Err(SourceError::Lost(why)) => return Trouble::Anew(why),
            // Those who read notice it by themselves, or it is over soon.
            Err(error) => tracing::debug!(copy = copy.name, %error, "what the source keeps"),
        }
    }
}
