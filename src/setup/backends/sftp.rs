//! A server that speaks SFTP. By the last question the login, the host keys and the directory are proven to work.

use std::path::{Path, PathBuf};

use super::params::Params;
use super::{Answers, check, reachability, tailscale};
use crate::base::text;
use crate::config::{Config, KopiaParams};
use crate::context::Context;
use crate::drivers::ssh::{self, HostKeys, KeyPair, Login, Refusal, Server};
use crate::error::Result;
use crate::repository::login;
use crate::ui::prompt;

/// What was answered so far: the defaults of the next round.
#[derive(Clone, Debug)]
struct Typed {
    host: String,
    port: String,
    user: String,
    path: String,
    key: String,
}

/// `host` is what was chosen before, and is not asked for again.
pub async fn ask(cx: &Context, config: &Config, host: Option<String>) -> Result<Answers> {
    let is_chosen = host.is_some();
    let mut typed = Typed {
        host: host.unwrap_or_default(),
        port: "22".to_owned(),
        user: operator(),
        path: String::new(),
        key: KeyPair::own_file(&cx.paths.home).display().to_string(),
    };
    loop {
        typed = questions(cx, typed, is_chosen).await?;
        match settle(cx, config, &typed).await {
            Ok(Some(answers)) => {
                tailscale::remember(cx, &typed.host).await;
                return Ok(answers);
            }
            Ok(None) => {}
            Err(why) if prompt::is_end(&why) || cx.shutdown.is_asked() => return Err(why),
            Err(why) => cx.ui.warn(super::told(&why)),
        }
    }
}

async fn questions(cx: &Context, known: Typed, is_chosen: bool) -> Result<Typed> {
    let shutdown = &cx.shutdown;
    let host = if is_chosen {
        known.host
    } else {
        let host = prompt::text_or("Host", &known.host, check::host, shutdown).await?;
        // As every list of known hosts has it.
        host.to_lowercase()
    };
    let port = prompt::text_or("Port", &known.port, check::port, shutdown).await?;
    let user = prompt::text_or("User", &known.user, check_user, shutdown).await?;
    let place = if known.path.is_empty() {
        folder_of(&user)
    } else {
        known.path
    };
    let path = prompt::text_or("Directory there", &place, check_path, shutdown).await?;
    let own = KeyPair::own_file(&cx.paths.home);
    let question = "Key file (created if missing)";
    let check = move |path: &str| check_key(path, &own);
    let key = prompt::text_or(question, &known.key, check, shutdown).await?;
    Ok(Typed {
        host,
        port,
        user,
        path,
        key,
    })
}

/// Who is most likely known there: the one who runs this with `sudo`. A server need not let root in.
fn operator() -> String {
    let name = std::env::var("SUDO_USER").unwrap_or_default();
    if check_user(&name).is_ok() {
        name
    } else {
        "root".to_owned()
    }
}

/// Where `user` can write on most systems.
fn folder_of(user: &str) -> String {
    match user {
        "root" => "/backup/kopia-repository".to_owned(),
        other => format!("/home/{other}/kopia-repository"),
    }
}

/// `None` to ask again.
async fn settle(cx: &Context, config: &Config, typed: &Typed) -> Result<Option<Answers>> {
    let server = Server {
        host: typed.host.clone(),
        port: typed.port.parse()?,
        user: typed.user.clone(),
    };
    let known_hosts = HostKeys::file(&cx.paths.home);
    if !pin(cx, &server, &known_hosts).await? {
        return Ok(None);
    }
    let login = Login {
        server,
        key: PathBuf::from(&typed.key),
        known_hosts,
    };
    let key = if login.key.exists() {
        KeyPair::open(&login.key).await?
    } else {
        cx.ui.say(format!("Creating key `{}`", typed.key));
        KeyPair::make(&login.key).await?
    };
    if !log_in(cx, &login, &key).await? {
        return Ok(None);
    }
    ssh::try_folder(&login, &typed.path).await?;
    cx.ui
        .say("The login works, and the directory can be written to.");
    if let Some(free) = ssh::free(&login, &typed.path).await {
        cx.ui.say(format!("Free there: {}", text::bytes(free)));
    }
    reachability::settle(cx, config, &params(&login, &typed.path), Vec::new()).await
}

/// After a connection that failed: whether the server shows other host keys than the wizard pinned, and the operator takes the new ones.
pub async fn takes_new_keys(cx: &Context, params: &KopiaParams) -> Result<bool> {
    let own = HostKeys::file(&cx.paths.home);
    let Some(login) = login(params).filter(|login| login.known_hosts == own) else {
        return Ok(false);
    };
    if !prompt::is_possible() {
        return Ok(false);
    }
    let Some(pinned) = HostKeys::pinned(&own, &login.server)? else {
        return Ok(false);
    };
    cx.ui
        .say(format!("Host keys of {} until now:", login.server.host));
    for line in pinned.fingerprints(&login.server).await? {
        cx.ui.say(format!("  {}", text::printable(&line)));
    }
    pin(cx, &login.server, &own).await
}

/// Whether the operator knows the server by its keys.
async fn pin(cx: &Context, server: &Server, known_hosts: &Path) -> Result<bool> {
    let keys = ssh::scan(server).await?;
    let pinned = HostKeys::pinned(known_hosts, server)?;
    if pinned.as_ref() == Some(&keys) {
        cx.ui.say("The server shows the host keys that are pinned.");
        return Ok(true);
    }
    if pinned.is_some() {
        cx.ui.warn(format!(
            "{} shows other host keys than those that are pinned: it was reinstalled, or another machine answers in its place",
            server.host
        ));
    }
    cx.ui.say(format!("Host keys of {}:", server.host));
    for line in keys.fingerprints(server).await? {
        cx.ui.say(format!("  {}", text::printable(&line)));
    }
    let question = "Are these the keys of your server?";
    if !prompt::is_wanted(question, &cx.shutdown).await? {
        return Ok(false);
    }
    keys.pin(known_hosts, server)?;
    Ok(true)
}

/// Until the server takes our key; false when the operator would rather answer anew.
async fn log_in(cx: &Context, login: &Login, key: &KeyPair) -> Result<bool> {
    loop {
        match ssh::prove(login).await {
            Ok(()) => return Ok(true),
            Err(Refusal::Other(why)) => return Err(why),
            Err(Refusal::Key) => {}
        }
        let user = &login.server.user;
        let host = &login.server.host;
        cx.ui
            .say(format!("{host} does not take the key for `{user}` yet."));
        let items = vec![
            format!("Install it now, with your own login as `{user}`"),
            "Install it by hand, then try again".to_owned(),
            "Change the answers".to_owned(),
        ];
        match prompt::select("How should the key be installed?", items, &cx.shutdown).await? {
            0 if !ssh::install(login, key, &cx.shutdown).await? => {
                cx.ui.warn("the key was not installed");
            }
            0 => {}
            1 => {
                cx.ui.say(ssh::manual(login, key));
                if !prompt::is_wanted_or("Done?", true, &cx.shutdown).await? {
                    return Ok(false);
                }
            }
            _ => return Ok(false),
        }
    }
}

fn params(login: &Login, path: &str) -> Params {
    let port = match login.server.port {
        22 => String::new(),
        port => port.to_string(),
    };
    Params::of("sftp")
        .flag("path", path)
        .flag("host", &login.server.bracketed())
        .flag("port", &port)
        .flag("username", &login.server.user)
        .flag("keyfile", &login.key.to_string_lossy())
        .flag("known-hosts", &login.known_hosts.to_string_lossy())
}

fn check_user(text: &str) -> Result<(), String> {
    check::word(text)?;
    let is_allowed =
        |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '@' | '\\' | '+');
    if text.starts_with('-') || !text.chars().all(is_allowed) {
        return Err("this is not a user name".to_owned());
    }
    Ok(())
}

fn check_path(text: &str) -> Result<(), String> {
    check::absolute(text)?;
    ssh::check_folder(text)
}

/// `own` may be missing: it is made.
fn check_key(text: &str, own: &Path) -> Result<(), String> {
    check::absolute(text)?;
    let file = Path::new(text);
    if file == own && !file.exists() {
        return Ok(());
    }
    ssh::check_file(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(host: &str, port: u16) -> Login {
        Login {
            server: Server {
                host: host.to_owned(),
                port,
                user: "me".to_owned(),
            },
            key: "/root/.ssh/id".into(),
            known_hosts: "/root/.ssh/known".into(),
        }
    }

    #[test]
    fn answers_become_flags() {
        assert_eq!(
            params(&login("nas", 22), "/srv/my backups").to_string(),
            "sftp --path '/srv/my backups' --host nas --username me --keyfile /root/.ssh/id --known-hosts /root/.ssh/known"
        );
        let text = params(&login("fe80::1", 2222), "/srv").to_string();
        assert!(text.contains("--host '[fe80::1]' --port 2222"), "{text}");
    }

    #[test]
    fn a_user_is_never_an_option_and_a_key_is_private() {
        assert_eq!(check_user("back.up-1"), Ok(()));
        for bad in ["", "-oX=y", "a b", "a;b", "a%h", "a\"b"] {
            assert!(check_user(bad).is_err(), "{bad}");
        }
        assert!(check_path("/a/../b").is_err());
        assert!(check_path("a").is_err());
        let own = Path::new("/nowhere/own");
        assert_eq!(check_key("/nowhere/own", own), Ok(()));
        assert!(check_key("/nowhere/other", own).is_err());
    }
}
