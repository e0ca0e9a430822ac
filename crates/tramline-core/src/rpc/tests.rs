use super::*;

/// Two participants on a perfect network.
struct Pair {
    now: Instant,
    /// `alice`, who calls, and `bob`.
    sides: [Rpc; 2],
    done: Vec<Result<String, RpcError>>,
    invoked: Vec<Invocation>,
    /// Whether what bob says arrives.
    bob_is_heard: bool,
}

const NAMES: [&str; 2] = ["alice", "bob"];

impl Pair {
    fn new() -> Self {
        let mut sides = [Rpc::default(), Rpc::default()];
        sides[1].register("echo");
        Self {
            now: tramline_sim::VirtualClock::new().now(),
            sides,
            done: Vec::new(),
            invoked: Vec::new(),
            bob_is_heard: true,
        }
    }

    fn call(&mut self, method: &str, payload: &str, client_protocol: Option<i32>) {
        self.call_for(Duration::from_secs(15), method, payload, client_protocol);
    }

    fn call_for(&mut self, timeout: Duration, method: &str, payload: &str, client_protocol: Option<i32>) {
        let call = Call {
            destination: "bob".into(),
            method: method.into(),
            payload: payload.into(),
            response_timeout: timeout,
        };
        self.sides[0].perform(self.now, 42, call, client_protocol);
        self.settle();
    }

    fn settle(&mut self) {
        loop {
            let next = (0..2).find_map(|side| Some((side, self.sides[side].poll_output()?)));
            let Some((side, output)) = next else { return };
            let from: Arc<str> = NAMES[side].into();
            let is_heard = side == 0 || self.bob_is_heard;
            let other = &mut self.sides[1 - side];
            match output {
                Output::Done { result, .. } => self.done.push(result),
                Output::Invoke(invocation) => self.invoked.push(invocation),
                _ if !is_heard => {}
                Output::Send { value: Value::RpcRequest(request), .. } => {
                    other.handle_request(&from, request)
                }
                Output::Send { value: Value::RpcAck(ack), .. } => other.handle_ack(&from, &ack),
                Output::Send { value: Value::RpcResponse(response), .. } => {
                    other.handle_response(&from, response)
                }
                Output::Send { value, .. } => panic!("{value:?}"),
                Output::SendText { topic: REQUEST_TOPIC, attributes, text, .. } => {
                    other.handle_request_opened(&from, &attributes);
                    other.handle_request_text(&from, &attributes, Some(text));
                }
                Output::SendText { attributes, text, .. } => {
                    other.handle_response_text(&from, &attributes, Some(text));
                }
            }
        }
    }

    fn answer(&mut self, result: Result<String, RpcError>) {
        let invocation = self.invoked.remove(0);
        self.sides[1].answer(invocation.id, result);
        self.settle();
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.sides[0].handle_timeout(self.now);
        self.settle();
    }

    fn code(&mut self) -> u32 {
        self.done.remove(0).expect_err("a failure").code
    }
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

#[test]
fn a_call_is_answered_in_either_version() {
    for (client_protocol, len) in [(0, 15_360), (1, 100_000)] {
        let mut pair = Pair::new();
        let payload = "x".repeat(len);
        pair.call("echo", &payload, Some(client_protocol));
        let invocation = pair.invoked[0].clone();
        assert_eq!((&*invocation.caller, invocation.response_timeout), ("alice", secs(8)));
        assert_eq!(invocation.payload, payload);
        pair.answer(Ok(payload.clone()));
        assert_eq!(pair.done, [Ok(payload)]);
        assert_eq!(pair.sides[0].poll_timeout(), None);
        pair.wait(secs(60));
        assert_eq!((pair.done.len(), pair.sides[0].ignored()), (1, 0));
    }
}

#[test]
fn every_failure_has_its_number() {
    use RpcErrorCode::*;
    let mut pair = Pair::new();
    for client_protocol in [0, 2] {
        pair.call("nothing", "", Some(client_protocol));
        assert_eq!(pair.code(), UnsupportedMethod as u32);
        pair.call("echo", "", Some(client_protocol));
        pair.answer(Err(RpcError::new(101, "mine", Some("d".into()))));
        assert_eq!(pair.done.remove(0), Err(RpcError::new(101, "mine", Some("d".into()))));
    }
    pair.call("echo", "", None);
    assert_eq!(pair.code(), RecipientNotFound as u32);
    pair.call("echo", &"x".repeat(15_361), Some(0));
    assert_eq!(pair.code(), RequestPayloadTooLarge as u32);
    pair.call("echo", "", Some(0));
    pair.answer(Ok("x".repeat(15_361)));
    assert_eq!(pair.code(), ResponsePayloadTooLarge as u32);

    let request =
        proto::RpcRequest { id: "1".into(), method: "echo".into(), version: 3, ..Default::default() };
    pair.sides[1].handle_request(&"alice".into(), request);
    let versions = BTreeMap::from([(attribute::ID.to_owned(), "1".to_owned())]);
    pair.sides[1].handle_request_text(&"alice".into(), &versions, Some(String::new()));
    let mut refused = Vec::new();
    while let Some(Output::Send { value, .. }) = pair.sides[1].poll_output() {
        if let Value::RpcResponse(proto::RpcResponse {
            value: Some(proto::rpc_response::Value::Error(error)),
            ..
        }) = value
        {
            refused.push(error.code);
        }
    }
    assert_eq!(refused, [UnsupportedVersion as u32; 2]);
}

#[test]
fn silence_is_a_missing_confirmation_or_a_missing_answer() {
    let mut pair = Pair::new();
    pair.call("echo", "", Some(2));
    assert_eq!(pair.sides[0].poll_timeout(), Some(pair.now + secs(15)), "it is confirmed");
    pair.wait(secs(15));
    assert_eq!(pair.code(), RpcErrorCode::ResponseTimeout as u32);
    // The answer that comes all the same is nobody's.
    pair.answer(Ok(String::new()));
    assert_eq!((pair.done.len(), pair.sides[0].ignored()), (0, 1));

    pair.bob_is_heard = false;
    pair.call("echo", "", Some(0));
    pair.wait(secs(7));
    assert_eq!(pair.code(), RpcErrorCode::ConnectionTimeout as u32);
    pair.call_for(Duration::from_millis(5), "echo", "", Some(0));
    pair.wait(Duration::from_millis(5));
    assert_eq!(pair.code(), RpcErrorCode::ResponseTimeout as u32);
}

#[test]
fn a_recipient_that_leaves_has_two_seconds_to_come_back() {
    let mut pair = Pair::new();
    pair.call("echo", "", Some(2));
    pair.sides[0].handle_participant_left(pair.now, "bob");
    pair.wait(secs(1));
    pair.sides[0].handle_participant_joined("bob");
    pair.wait(secs(5));
    pair.answer(Ok("late".into()));
    assert_eq!(pair.done.remove(0), Ok("late".into()));

    pair.call("echo", "", Some(2));
    pair.sides[0].handle_participant_left(pair.now, "bob");
    pair.wait(secs(2));
    assert_eq!(pair.code(), RpcErrorCode::RecipientDisconnected as u32);
    pair.invoked.clear();

    // A caller that has left is not answered.
    pair.call("echo", "", Some(2));
    pair.sides[1].handle_participant_left(pair.now, "alice");
    pair.answer(Ok(String::new()));
    assert!(pair.done.is_empty());
    pair.sides[0].handle_end();
    pair.settle();
    assert_eq!(pair.code(), RpcErrorCode::RecipientDisconnected as u32);
}

#[test]
fn nobody_answers_in_anothers_name() {
    let mut pair = Pair::new();
    pair.call("echo", "", Some(0));
    let request_id = pair.invoked[0].request_id.clone();
    let forged = proto::RpcResponse { request_id, value: None };
    pair.sides[0].handle_response(&"mallory".into(), forged);
    assert_eq!((pair.done.len(), pair.sides[0].ignored()), (0, 1));
    pair.answer(Ok("real".into()));
    assert_eq!(pair.done, [Ok("real".into())]);
}
