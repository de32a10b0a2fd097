//! Chromium as a test drives it: by the DevTools protocol over a pipe, which needs no port and no WebSocket.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{channel, Receiver};
use std::thread;
use std::time::Duration;

use lockgate::serde_json::{self, json, Value};

use super::peers;

/// The time after which a test has failed.
const SAFETY: Duration = Duration::from_secs(60);

/// A browser with one page.
pub struct Browser {
    chromium: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    calls: u64,
    session: Value,
    /// Events that came while something else was waited for.
    events: Vec<Value>,
}

impl Browser {
    /// `None` when Chromium is missing, which is then noted. Hosts are resolved by `rules`, as `--host-resolver-rules` has them.
    pub fn open(test: &str, home: &Path, rules: &str) -> Option<Browser> {
        let rules = format!("--host-resolver-rules={rules}");
        let arguments =
            ["--remote-debugging-pipe", "--ignore-certificate-errors", "--window-size=1000,700", &rules];
        let chromium = peers::chromium(test, home, "127.0.0.1", &arguments)?;
        // The browser reads from descriptor 3 and writes to 4.
        let mut shell = Command::new("sh");
        shell.args(["-c", "exec 3<&0 4>&1 </dev/null >/dev/null 2>&1; exec \"$@\"", "sh"]);
        shell.arg(chromium.get_program()).args(chromium.get_args()).env("HOME", home);
        let mut chromium = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (to, from) = (chromium.stdin.take().unwrap(), chromium.stdout.take().unwrap());
        let (sender, receiver) = channel();
        thread::spawn(move || {
            for message in BufReader::new(from).split(0).map_while(Result::ok) {
                if sender.send(serde_json::from_slice(&message).unwrap()).is_err() {
                    return;
                }
            }
        });
        let mut browser =
            Browser { chromium, to, from: receiver, calls: 0, session: Value::Null, events: Vec::new() };
        let page = browser.call("Target.createTarget", json!({"url": "about:blank"}));
        let attach = json!({"targetId": page["targetId"], "flatten": true});
        browser.session = browser.call("Target.attachToTarget", attach)["sessionId"].clone();
        browser.call("Page.enable", json!({}));
        Some(browser)
    }

    /// Calls a method of the protocol.
    pub fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.calls += 1;
        let mut message = json!({"id": self.calls, "method": method, "params": parameters});
        if !self.session.is_null() {
            message["sessionId"] = self.session.clone();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.to.write_all(&bytes).unwrap();
        loop {
            let answer = self.from.recv_timeout(SAFETY).expect(method);
            if answer["id"] == self.calls {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].clone();
            }
            self.events.push(answer);
        }
    }

    /// Goes to a page, and waits until all of it is loaded.
    pub fn go(&mut self, url: &str) {
        self.events.clear();
        let gone = self.call("Page.navigate", json!({"url": url}));
        assert!(gone["errorText"].is_null(), "{url}: {gone}");
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            let event = self.from.recv_timeout(SAFETY).expect("the page loads");
            self.events.push(event);
        }
    }

    /// The value of an expression in the page; of a promise, what it becomes.
    pub fn value(&mut self, expression: &str) -> Value {
        let parameters = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let result = self.call("Runtime.evaluate", parameters);
        assert!(result["exceptionDetails"].is_null(), "{expression}: {result}");
        result["result"]["value"].clone()
    }

    /// Waits until an expression in the page is true.
    pub fn until(&mut self, expression: &str) {
        self.value(&format!(
            "new Promise((done) => {{ const look = () => ({expression}) ? done() : setTimeout(look, 10); look(); }})"
        ));
    }

    /// Chooses a file in an input.
    pub fn choose(&mut self, selector: &str, file: &Path) {
        let document = self.call("DOM.getDocument", json!({}));
        let query = json!({"nodeId": document["root"]["nodeId"], "selector": selector});
        let node = self.call("DOM.querySelector", query)["nodeId"].clone();
        self.call("DOM.setFileInputFiles", json!({"files": [file], "nodeId": node}));
    }

    /// A picture of the page as a PNG, in base64.
    pub fn picture(&mut self) -> String {
        self.call("Page.captureScreenshot", json!({"format": "png"}))["data"].as_str().unwrap().to_string()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.chromium.kill();
        let _ = self.chromium.wait();
    }
}
