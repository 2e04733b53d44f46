//! What lies beside the scripts, and in which order it is used.

use std::fmt::Write as _;

use crate::base::text::printable;
use crate::drivers::kopia::Kopia;
use crate::model::point::{FileRecord, PointRecord};
use crate::points::by_hand::{COMMANDS, EXPLAINED};
use crate::points::point::Point;
use crate::restore::plan::names::is_powerful;
use crate::restore::rebuild::start_command;

#[expect(clippy::too_many_lines, reason = "a text")]
pub fn text(
    kopia: &Kopia,
    point: &Point,
    record: &PointRecord,
    scripts: &[String],
    warnings: &[String],
) -> String {
    let unit = record.unit.as_str();
    let mut text = format!(
        "# Restore `{}` by hand\n\n\
         Restore point {} (grade {}), made by {}, written out by kopi-docka. kopi-docka itself is not needed for any of this.\n\
         The files of the recipe may hold secrets (`.env`, `secrets.json`): this directory is for root alone.\n",
        printable(unit),
        record.backup_id,
        record.grade,
        printable(&point.identity.to_string()),
    );
    // Writing to a String cannot fail.
    let mut section = |title: &str, body: &str| {
        let _ = write!(text, "\n## {title}\n\n{body}\n");
    };

    let mut connect = format!(
        "On a host where kopi-docka is set up its connection is used (`{}`). Elsewhere:\n\n{}\n",
        kopia.profile().display(),
        code(&[shell_words::join(kopia.connect_command())]),
    );
    connect.push_str("\nKopia asks for the password of the repository. The scripts read it from `KOPIA_PASSWORD`, or ask.");
    let variables = kopia.storage_variables();
    if !variables.is_empty() {
        let _ = write!(
            connect,
            "\nThe storage wants secrets in the environment: {}.",
            variables.join(", ")
        );
    }
    section("1. Connect kopia", &connect);

    let mut recipe = format!(
        "`recipes/{}/files/` holds the compose files and what they name, each at its own absolute path;\n\
         `docker/` what Docker knew of containers, volumes and networks. Put back what is missing:\n\n",
        printable(unit)
    );
    let folder = record
        .project
        .as_ref()
        .and_then(|project| project.working_dir.as_ref());
    let is_inside = |file: &&FileRecord| {
        let is_in_project = folder.is_some_and(|folder| file.path.starts_with(folder));
        is_in_project && !is_powerful(&file.path)
    };
    let (inside, outside): (Vec<&FileRecord>, Vec<&FileRecord>) =
        record.files.iter().partition(is_inside);
    let copies = |files: &[&FileRecord]| -> Vec<String> {
        let copies = files.iter().map(|file| {
            let path = file.path.display().to_string();
            let folder = file
                .path
                .parent()
                .map(|folder| folder.display().to_string());
            format!(
                "mkdir -p {} && cp -a {} {}",
                shell_words::quote(&folder.unwrap_or_default()),
                shell_words::quote(&format!("recipes/{unit}/files{path}")),
                shell_words::quote(&path)
            )
        });
        copies.collect()
    };
    let (inside, outside) = (copies(&inside), copies(&outside));
    if inside.is_empty() && outside.is_empty() {
        recipe = format!(
            "`recipes/{}/docker/` holds what Docker knew of containers, volumes and networks.",
            printable(unit)
        );
    } else {
        if !inside.is_empty() {
            recipe.push_str(&code(&inside));
        }
        if !outside.is_empty() {
            recipe.push_str(&format!(
                "\nThese are not of the project's own directory: look at each before you put it there.\n\n{}",
                code(&outside)
            ));
        }
    }
    section("2. The recipe", &recipe);

    let runs: Vec<String> = scripts
        .iter()
        .map(|script| format!("sh {}", shell_words::quote(script)))
        .collect();
    let body = if runs.is_empty() {
        "The point has none.".to_owned()
    } else {
        format!(
            "Each script says at its top what it does. One at a time, in this order (what lies in other data comes after it):\n\n{}",
            code(&runs)
        )
    };
    section("3. The data", &body);

    let mut typed = format!(
        "{EXPLAINED} The scripts do the same, and refuse what leads out of the directory: these lines trust the repository.\n\n"
    );
    typed.push_str(&code(&COMMANDS.map(str::to_owned)));
    if let Some(root) = &point.recipe {
        let _ = write!(typed, "\nThe root object of this recipe is `{root}`.");
    }
    section("3a. The data without the scripts", &typed);

    let start = match start_command(record) {
        Some(command) => format!(
            "What ran before runs again by itself. Where there are no containers yet:\n\n{}",
            code(&[command])
        ),
        None => format!(
            "What ran before runs again by itself. The container is described in\n`recipes/{}/docker/containers/`.",
            printable(unit)
        ),
    };
    section("4. Start", &start);

    if !warnings.is_empty() {
        let lines: Vec<String> = warnings
            .iter()
            .map(|warning| format!("- {}", printable(warning)))
            .collect();
        section("What to mind", &lines.join("\n"));
    }
    text
}

fn code(lines: &[String]) -> String {
    format!("```sh\n{}\n```", lines.join("\n"))
}
