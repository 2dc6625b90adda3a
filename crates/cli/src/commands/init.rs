//! `init`: keys, catalog, first administrator.

use crate::arguments::Init;
use crate::failure::{Doing, Failure, Result};
use crate::key_place::{self, first_line};
use crate::node::Node;
use engine::Unlock;
use std::fs;
use std::path::Path;

pub(super) fn run(typed: &Init) -> Result<()> {
    let dir = &typed.dir;
    refuse_used(dir)?;
    // Read before anything is made: a missing file must not leave half a folder.
    let password = typed.password_file.as_deref().map(first_line).transpose()?;
    let place = key_place::for_new_folder(dir, &typed.unlock)?;
    let node = Node::create(dir, &place)?;
    println!("data folder {}", dir.display());
    println!("{}", place.words());
    eprintln!(
        "\n{}",
        match place.unlock {
            Unlock::KeyFile(_) => {
                "Keep a copy of the key file elsewhere: without it the data is noise, for you too."
            }
            _ => "Without this key the data is noise, for you too: see that it is not lost.",
        }
    );
    match (&typed.admin, password) {
        (Some(name), Some(password)) => {
            node.make_first_administrator(name, &password)?;
            println!("administrator {name}");
        }
        _ => {
            let code = node.enrolment_code()?;
            println!(
                "enrolment code {}",
                code.as_deref().unwrap_or("(somebody has enrolled already)")
            );
        }
    }
    node.close();
    eprintln!("hint: clerestory serve --dir {}", dir.display());
    Ok(())
}

fn refuse_used(dir: &Path) -> Result<()> {
    let is_used = match fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(error) => return Err(error).doing(|| format!("cannot read `{}`", dir.display())),
    };
    if is_used {
        return Err(Failure::new(format!("`{}` is not empty", dir.display()))
            .hint(format!("clerestory serve --dir {}", dir.display())));
    }
    Ok(())
}
