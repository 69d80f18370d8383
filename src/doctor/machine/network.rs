//! `network.sources`: do the places that aienv downloads from answer?
//!
//! Asked only when the user asks for it, because it is the one check that leaves the machine. All
//! places are asked side by side, one byte each, with a short patience.

use std::time::Duration;

use crate::{
    doctor::machine::Verdict,
    error::UserError as _,
    net::{ByteRange, Client, NetError, Retry},
    settings::Settings,
};

/// The id of the check.
pub const ID: &str = "network.sources";
/// What it looks at.
pub const LOOKS_AT: &str = "with `--network`: package index, torch indexes, Python builds, source \
                            archives, through the proxy and with the certificates of the settings";
/// Why it matters.
pub const WHY: &str = "Firewalls, proxies that inspect TLS and mirrors that are gone make \
                       installing fail in many ways; asked one by one, each says which it is.";

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(6);

/// An index besides the default one.
const EXTRA: &str = "extra index";

/// One place.
struct Place {
    what: &'static str,
    url: String,
    /// Nothing can be installed without it.
    needed: bool,
    /// It has what no other place has.
    is_extra: bool,
}

/// Asks every place of the settings.
///
/// # Errors
/// When the system gives no threads.
pub fn check(settings: &Settings) -> std::io::Result<Vec<Verdict>> {
    let once = Retry {
        tries: 1,
        ..Retry::default()
    };
    let client = Client::with_retry(settings, once);
    if client.is_offline() {
        let mut verdict = Verdict::note("nothing is asked: aienv is offline as the settings say");
        verdict.check = ID;
        return Ok(vec![verdict]);
    }
    let places = places(settings);
    let runtime = crate::net::runtime()?;
    let outcomes = runtime.block_on(futures_util::future::join_all(
        places.iter().map(|place| ask(&client, &place.url)),
    ));
    // A name lookup that hangs must not hold up the end.
    runtime.shutdown_background();
    let mut verdicts: Vec<Verdict> = Vec::new();
    let asked: Vec<(&Place, Option<NetError>)> = places.iter().zip(outcomes).collect();
    for (place, outcome) in &asked {
        // Of several places with the same things one is enough.
        let another = asked
            .iter()
            .any(|(other, outcome)| other.what == place.what && outcome.is_none());
        if outcome.is_none() || place.is_extra || !another {
            verdicts.push(judge(place, outcome.as_ref()));
        }
    }
    for verdict in &mut verdicts {
        verdict.check = ID;
    }
    Ok(verdicts)
}

fn places(settings: &Settings) -> Vec<Place> {
    let mut places = vec![Place {
        what: "package index",
        url: settings.index.value.url().to_string(),
        needed: true,
        is_extra: false,
    }];
    let mut add = |what, url: String| {
        let place = Place {
            what,
            url,
            needed: false,
            is_extra: what == EXTRA,
        };
        places.push(place);
    };
    for index in &settings.extra_indexes.value {
        add(EXTRA, index.url().to_string());
    }
    add("torch index", settings.torch.value.url().to_string());
    for mirror in &settings.pythons.value {
        add("Python builds", mirror.url().to_string());
    }
    for template in &settings.sources.value {
        // Any address below the host will do: its refusal is an answer, too.
        if let Ok(url) = template.fill("owner/name", "0000000") {
            add("source archives", url.url().to_string());
        }
    }
    places
}

/// `None` when the server said anything at all.
async fn ask(client: &Client, url: &str) -> Option<NetError> {
    let first_byte = ByteRange::Span { first: 0, last: 0 };
    let request = client.get(url).range(first_byte).send();
    match tokio::time::timeout(PATIENCE, request).await {
        Ok(Ok(_)) => None,
        // It is there, and knows no such page. A refusal (401, 403, 407) is worth telling.
        Ok(Err(NetError::Status {
            status: 404 | 405 | 416,
            ..
        })) => None,
        Ok(Err(error)) => Some(error),
        Err(_) => Some(NetError::Timeout {
            url: crate::settings::without_login(url),
        }),
    }
}

fn judge(place: &Place, outcome: Option<&NetError>) -> Verdict {
    let host = url::Url::parse(&place.url)
        .ok()
        .and_then(|url| url.host_str().map(str::to_owned))
        .unwrap_or_default();
    let what = place.what;
    let Some(error) = outcome else {
        return Verdict::works(format!("{what} at {host} answers"));
    };
    let mut text = error.to_string();
    if let Some(cause) = std::error::Error::source(error) {
        text = format!("{text}: {cause}");
    }
    // Trust that fails is a mistake of this machine's settings whatever it is for.
    let mistaken = matches!(
        error,
        NetError::Certificate { .. } | NetError::Setup { .. } | NetError::Proxy { .. }
    );
    let verdict = Verdict::problem_if(
        place.needed || mistaken,
        format!("{what} at {host} cannot be reached"),
    )
    .because(match (place.needed, what) {
        (true, _) => "Nothing can be installed without it.",
        (_, "torch index") => {
            "Plans use the builds of the package index instead, which are not the best for every \
             GPU."
        }
        (_, "Python builds") => "Tools use an interpreter of this machine instead.",
        (_, "source archives") => "Tools that come as source trees cannot be installed.",
        _ => "What only it has cannot be installed.",
    })
    .seen(text);
    match error.hint() {
        Some(hint) => verdict.advise(sentence(&hint)),
        None => verdict,
    }
}

/// A hint as it stands by itself.
fn sentence(hint: &str) -> String {
    let mut letters = hint.chars();
    let first = letters
        .next()
        .map(|letter| letter.to_uppercase().to_string());
    format!("{}{}", first.unwrap_or_default(), letters.as_str())
}
