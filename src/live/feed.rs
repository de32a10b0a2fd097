//! A feed, as programs use it: its settings, what is sent into it, and the response that subscribes a client. `shared` has what
//! happens, and `subscription` is the other end.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::http::header::CACHE_CONTROL;
use ::http::{HeaderName, HeaderValue, StatusCode};

use super::backlog::{Backlog, Keeps};
use super::event::{Event, Published};
use super::log_feed::FeedLog;
use super::shared::{Settings, Shared};
use super::subscription::{Subscription, Wanted};
use crate::http::request::Request;
use crate::http::response::{Payload, Response};

const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");
/// Nobody keeps the stream, and nobody compresses it, because an encoder would hold events back (RFC 9111 §5.2.2).
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store, no-transform");
/// nginx would otherwise collect events before it passes them on.
const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
const NO: HeaderValue = HeaderValue::from_static("no");

/// Sends events to any number of clients (server-sent events, WHATWG HTML §9.2). A browser reads them with `EventSource`.
///
/// ```
/// use lockgate::{Event, Feed, Request, Router};
/// use serde_json::json;
///
/// let feed = Feed::new();
/// let router = Router::new().get("/api/events", feed.handler());
///
/// // From any thread, as often as there is something to tell:
/// feed.send(Event::json(&json!({"celsius": 21.5}))?.name("reading"));
/// # router.check().unwrap();
/// # Ok::<(), lockgate::Error>(())
/// ```
///
/// A subscriber is a connection that waits in the server like an idle one: it holds no thread, and some 9 KiB of memory. Clones
/// of a feed are the same feed.
///
/// # Slow clients, and those that come back
///
/// The feed keeps its newest events once for all subscribers ([`FeedBuilder::history`]). A subscriber that has fallen behind
/// all of them is cut, and one that takes nothing for [`Limits::write_timeout`](crate::Limits::write_timeout) too; neither
/// holds up the others. A feed made by [`Feed::latest_only`] keeps the newest event of each name instead: a slow subscriber
/// gets the newest, and misses older ones.
///
/// Each event has an id, its own ([`Event::id`]) or the feed's. A browser that has lost its connection comes back with the last
/// id (`Last-Event-ID`), and gets the events after it that are kept, each once. An id that the feed does not know is older than
/// all that it keeps, so the client gets all of them. The feed's own ids differ after a restart of the program.
///
/// # When a stream ends
///
/// A client that leaves is noticed when its connection closes, or else by the [heartbeat](FeedBuilder::heartbeat). When the
/// server stops, each subscriber gets what is left, and is told to come back after a random time
/// ([`FeedBuilder::reconnect_within`]). [`close`](Feed::close) ends a feed for good. A browser comes back by itself whenever a
/// stream ends, but not after an answer other than 200: not after a 503, say.
///
/// In a browser an HTTP/1.1 site has six connections for all its tabs, and each stream takes one of them.
#[derive(Clone)]
pub struct Feed {
    shared: Arc<Shared>,
}

impl Feed {
    /// A feed with the defaults of [`FeedBuilder`].
    #[allow(clippy::new_without_default)] // A default feed would have no subscribers and no sender.
    pub fn new() -> Feed {
        Feed::builder().build()
    }

    /// A feed that keeps only the newest event of each name ([`FeedBuilder::latest_only`]): for readings of which only the
    /// newest counts.
    pub fn latest_only() -> Feed {
        Feed::builder().latest_only().build()
    }

    /// The settings of a feed, to be changed.
    pub fn builder() -> FeedBuilder {
        FeedBuilder::new()
    }

    /// A feed of the program's log, and the logger that fills it with lines up to this level: see [`FeedLog`].
    pub fn from_log(levels: log::LevelFilter) -> (Feed, FeedLog) {
        let feed = Feed::builder().replay_to_all().history_bytes(256 * 1024).build();
        let log = FeedLog::new(feed.shared.clone(), levels);
        (feed, log)
    }

    /// Sends an event to all subscribers, from any thread. Never waits for a client. An event with a
    /// [fault](Event::fault), or one larger than all that the feed keeps ([`FeedBuilder::history_bytes`]), is not sent, and the
    /// log gets an error. After [`close`](Feed::close) nothing is sent.
    pub fn send(&self, event: Event) {
        self.shared.send(event);
    }

    /// The response that subscribes the client of this request. The client gets the events that are sent from now on, and first
    /// those that it has missed, if it comes back with `Last-Event-ID`. After [`close`](Feed::close) it is 204, which tells a
    /// browser not to come back.
    ///
    /// ```
    /// use lockgate::{Error, Event, Feed, Request, Response, Router};
    ///
    /// fn is_known(request: &Request) -> bool {
    ///     // Look for the session's cookie, for instance.
    /// #   true
    /// }
    ///
    /// let feed = Feed::new();
    /// let events = feed.clone();
    /// let router = Router::new().get("/api/events", move |request: &mut Request| {
    ///     if !is_known(request) {
    ///         return Err(Error::answer(lockgate::StatusCode::FORBIDDEN, "log in first"));
    ///     }
    ///     Ok(events.subscribe(request))
    /// });
    /// # router.check().unwrap();
    /// ```
    pub fn subscribe(&self, request: &Request<'_>) -> Response {
        self.answer(request, None)
    }

    /// As [`subscribe`](Feed::subscribe), with a filter: the client gets the events for which it returns true. The filter runs
    /// on the server's threads, once for each event, so it should be quick, and must not wait. A panic in it cuts the
    /// subscriber.
    ///
    /// ```
    /// use lockgate::{Feed, Published, Request, Router};
    ///
    /// let feed = Feed::new();
    /// let router = Router::new().get("/api/events/{name}", move |request: &mut Request| {
    ///     let name = request.param("name").map(String::from);
    ///     feed.subscribe_where(request, move |event: &Published| event.name() == name.as_deref())
    /// });
    /// # router.check().unwrap();
    /// ```
    pub fn subscribe_where(
        &self,
        request: &Request<'_>,
        wanted: impl Fn(&Published) -> bool + Send + 'static,
    ) -> Response {
        self.answer(request, Some(Box::new(wanted)))
    }

    /// A handler that subscribes every client, for [`Router::get`](crate::Router::get).
    pub fn handler(&self) -> impl Fn(&mut Request<'_>) -> Response + Send + Sync + 'static {
        let feed = self.clone();
        move |request| feed.subscribe(request)
    }

    fn answer(&self, request: &Request<'_>, wanted: Option<Wanted>) -> Response {
        let last = request.header("last-event-id").filter(|id| !id.is_empty());
        let Some(from) = self.shared.beginning(last) else { return Response::new(StatusCode::NO_CONTENT) };
        let subscription = Subscription::new(self.shared.clone(), from, wanted);
        let mut response =
            Response::new(StatusCode::OK).with_field(CACHE_CONTROL, NO_STORE).with_field(BUFFERING, NO);
        response.content_type = Some(EVENT_STREAM);
        response.body = Payload::Live(Box::new(subscription));
        response
    }

    /// How many clients are subscribed now.
    pub fn subscribers(&self) -> usize {
        self.shared.lock().subscribers()
    }

    /// Ends the feed: subscribers get what was sent before, then their streams end. New ones get 204.
    pub fn close(&self) {
        self.shared.close();
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").field("subscribers", &self.subscribers()).finish_non_exhaustive()
    }
}

/// The settings of a [`Feed`].
///
/// ```
/// use std::time::Duration;
/// use lockgate::Feed;
///
/// let feed = Feed::builder()
///     .history(100)
///     .heartbeat(Duration::from_secs(30))
///     .on_leave(|left| println!("{left} subscribers are left"))
///     .build();
/// ```
#[must_use]
pub struct FeedBuilder {
    keeps: Keeps,
    history: usize,
    history_bytes: usize,
    settings: Settings,
}

impl FeedBuilder {
    fn new() -> FeedBuilder {
        let settings = Settings {
            replays_to_all: false,
            heartbeat: Duration::from_secs(15),
            reconnect_within: Duration::from_secs(5),
            on_leave: None,
        };
        FeedBuilder { keeps: Keeps::All, history: 1_024, history_bytes: 1024 * 1024, settings }
    }

    /// Keeps only the newest event of each name. A subscriber that is slow gets the newest, and is not cut.
    pub fn latest_only(mut self) -> FeedBuilder {
        self.keeps = Keeps::Latest;
        self
    }

    /// How many events the feed keeps, for subscribers that are behind and for clients that come back with `Last-Event-ID`. A
    /// subscriber that is further behind is cut. Defaults to 1,024; at least 1.
    pub fn history(mut self, events: usize) -> FeedBuilder {
        self.history = events.max(1);
        self
    }

    /// How many bytes the kept events may take, with 128 for each beside its own. An event that alone takes more is not sent.
    /// Defaults to 1 MiB; at least 1 KiB.
    pub fn history_bytes(mut self, bytes: usize) -> FeedBuilder {
        self.history_bytes = bytes.max(1024);
        self
    }

    /// Gives also a new subscriber all kept events first. By default it gets those that are sent from then on.
    pub fn replay_to_all(mut self) -> FeedBuilder {
        self.settings.replays_to_all = true;
        self
    }

    /// After this time without an event a subscriber gets an empty comment. It keeps proxies from closing the connection, and
    /// shows the server that a client is gone. Defaults to 15 s; at least 1 s.
    pub fn heartbeat(mut self, time: Duration) -> FeedBuilder {
        self.settings.heartbeat = time.max(Duration::from_secs(1));
        self
    }

    /// When the server stops, each subscriber is told to come back after a random time up to this one, and at least a quarter
    /// of it, so that they do not all come at once. Defaults to 5 s.
    pub fn reconnect_within(mut self, time: Duration) -> FeedBuilder {
        self.settings.reconnect_within = time;
        self
    }

    /// Calls this after a subscriber has left or was cut, with the number of those that are left. It runs on the server's
    /// threads, so it should be quick.
    pub fn on_leave(mut self, hook: impl Fn(usize) + Send + Sync + 'static) -> FeedBuilder {
        self.settings.on_leave = Some(Box::new(hook));
        self
    }

    /// The feed.
    pub fn build(self) -> Feed {
        let FeedBuilder { keeps, history, history_bytes, settings } = self;
        let backlog = Backlog::new(keeps, history, history_bytes);
        Feed { shared: Arc::new(Shared::new(settings, backlog)) }
    }
}

impl fmt::Debug for FeedBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FeedBuilder")
            .field("history", &self.history)
            .field("history_bytes", &self.history_bytes)
            .field("heartbeat", &self.settings.heartbeat)
            .finish_non_exhaustive()
    }
}
