//! Methods that participants register, and calls of them.

use std::{
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use tramline::{
    DataPacket, LocalParticipant, PerformRpcData, RoomEvent, RpcError, RpcErrorCode, block_on, block_on_for,
};
use tramline_server::Server;

use crate::{LIMIT, Member, server};

/// Two who know each other.
fn pair(server: &Server) -> (Member, Member) {
    let alice = Member::join(server, "alice");
    let bob = Member::join(server, "bob");
    let mut alice = alice;
    alice.await_event(|event| matches!(event, RoomEvent::ParticipantConnected(_)).then_some(()));
    (alice, bob)
}

fn call(to: &str, method: &str, payload: impl Into<String>) -> PerformRpcData {
    PerformRpcData {
        destination_identity: to.into(),
        method: method.to_owned(),
        payload: payload.into(),
        ..PerformRpcData::default()
    }
}

fn perform(caller: &LocalParticipant, data: PerformRpcData) -> Result<String, RpcError> {
    block_on_for(caller.perform_rpc(data), LIMIT).expect("an answer in time")
}

fn register_echo(member: &Member) {
    member.room.local_participant().register_rpc_method("echo", |call| async move { Ok(call.payload) });
}

#[test]
fn a_call_is_answered_whatever_its_length() {
    let server = server();
    let (alice, bob) = pair(&server);
    register_echo(&bob);
    for len in [0, 1, 64, 15_360, 20_000, 65_536, 1 << 20] {
        let payload: String = (0..len).map(|index| char::from(b'a' + (index % 23) as u8)).collect();
        let answer = perform(&alice.room.local_participant(), call("bob", "echo", payload.clone()));
        assert!(answer == Ok(payload), "{len}: {:?}", answer.err());
    }
}

#[test]
fn a_handler_learns_who_calls_and_what_for() {
    let server = server();
    let (alice, bob) = pair(&server);
    let (seen, calls) = mpsc::channel();
    let seen = Mutex::new(seen);
    bob.room.local_participant().register_rpc_method("look", move |call| {
        let _ = seen.lock().expect("no panic").send(call);
        std::future::ready(Ok(String::new()))
    });
    assert_eq!(perform(&alice.room.local_participant(), call("bob", "look", "?")), Ok(String::new()));
    let call = calls.recv().expect("a call");
    assert_eq!(
        (call.caller_identity.as_str(), call.method.as_str(), call.payload.as_str()),
        ("alice", "look", "?")
    );
    assert_eq!((call.response_timeout, call.request_id.len()), (Duration::from_secs(8), 36));
}

#[test]
fn every_failure_has_its_number() {
    let server = server();
    let (alice, bob) = pair(&server);
    let (alice, bob) = (alice.room.local_participant(), bob.room.local_participant());
    let code = |data| perform(&alice, data).expect_err("a failure").code;
    // At once, whatever the time-out.
    assert_eq!(code(call("nobody", "echo", "")), RpcErrorCode::RecipientNotFound as u32);
    assert_eq!(code(call("alice", "echo", "")), RpcErrorCode::RecipientNotFound as u32);
    assert_eq!(code(call("bob", "echo", "")), RpcErrorCode::UnsupportedMethod as u32);
    bob.register_rpc_method("fail", |_| async { Err(RpcError::new(101, "mine", Some("d".to_owned()))) });
    assert_eq!(
        perform(&alice, call("bob", "fail", "")),
        Err(RpcError::new(101, "mine", Some("d".to_owned())))
    );
    bob.register_rpc_method("panic", |_| async { panic!("on purpose") });
    assert_eq!(code(call("bob", "panic", "")), RpcErrorCode::ApplicationError as u32);
    bob.register_rpc_method("never", |_| std::future::pending());
    let short = PerformRpcData { response_timeout: Duration::from_millis(50), ..call("bob", "never", "") };
    assert_eq!(code(short), RpcErrorCode::ResponseTimeout as u32);
    bob.unregister_rpc_method("fail");
    assert_eq!(code(call("bob", "fail", "")), RpcErrorCode::UnsupportedMethod as u32);
}

#[test]
fn a_recipient_that_leaves_fails_its_calls() {
    let server = server();
    let (alice, bob) = pair(&server);
    let (started, waits) = mpsc::channel();
    let started = Mutex::new(started);
    bob.room.local_participant().register_rpc_method("never", move |_| {
        let _ = started.lock().expect("no panic").send(());
        std::future::pending()
    });
    let alice = alice.room.local_participant();
    let caller = std::thread::spawn(move || perform(&alice, call("bob", "never", "")));
    waits.recv().expect("it runs");
    bob.close();
    let error = caller.join().expect("no panic").expect_err("it left");
    assert_eq!(error.code, RpcErrorCode::RecipientDisconnected as u32);
}

#[test]
fn a_hundred_calls_run_at_once_and_call_back() {
    let server = server();
    let (alice, bob) = pair(&server);
    let everybody = Arc::new(std::sync::Barrier::new(100));
    let local = bob.room.local_participant();
    bob.room.local_participant().register_rpc_method("both", move |data| {
        let (everybody, local) = (Arc::clone(&everybody), local.clone());
        async move {
            // All of them are inside before one goes on: they do not run one after the other.
            everybody.wait();
            local.perform_rpc(call("alice", "half", data.payload)).await
        }
    });
    let alice = alice.room.local_participant();
    alice.register_rpc_method("half", |data| async move { Ok(format!("{} back", data.payload)) });
    let callers: Vec<_> = (0..100)
        .map(|index| {
            let alice = alice.clone();
            std::thread::spawn(move || perform(&alice, call("bob", "both", index.to_string())))
        })
        .collect();
    for (index, caller) in callers.into_iter().enumerate() {
        assert_eq!(caller.join().expect("no panic"), Ok(format!("{index} back")));
    }
}

#[test]
fn a_handler_that_blocks_holds_up_nothing_else() {
    let server = server();
    let (alice, mut bob) = pair(&server);
    let (release, held) = mpsc::channel::<()>();
    let held = Arc::new(Mutex::new(held));
    bob.room.local_participant().register_rpc_method("block", move |_| {
        let held = Arc::clone(&held);
        async move {
            // On purpose not awaited: the thread is stuck.
            let _ = held.lock().expect("no panic").recv();
            Ok("released".to_owned())
        }
    });
    register_echo(&bob);
    let local = alice.room.local_participant();
    let blocked = std::thread::spawn({
        let local = local.clone();
        move || perform(&local, call("bob", "block", ""))
    });
    assert_eq!(perform(&local, call("bob", "echo", "meanwhile")), Ok("meanwhile".to_owned()));
    block_on(local.publish_data(DataPacket::reliable("hello"))).expect("outside").expect("sent");
    bob.await_event(|event| matches!(event, RoomEvent::DataReceived { .. }).then_some(()));
    release.send(()).expect("it waits");
    assert_eq!(blocked.join().expect("no panic"), Ok("released".to_owned()));
}

#[test]
fn timers_of_the_registering_runtime_work_in_a_handler() {
    let server = server();
    let (alice, bob) = pair(&server);
    let local = bob.room.local_participant();
    let (registered, is_registered) = mpsc::channel();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let application = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(async {
            local.register_rpc_method("nap", |_| async {
                tokio::time::sleep(Duration::from_millis(1)).await;
                Ok("rested".to_owned())
            });
            registered.send(()).expect("awaited");
            let _ = stopped.await;
        });
    });
    is_registered.recv().expect("registered");
    assert_eq!(perform(&alice.room.local_participant(), call("bob", "nap", "")), Ok("rested".to_owned()));
    drop(stop);
    application.join().expect("no panic");
}

#[test]
fn a_room_ends_with_its_calls() {
    let server = server();
    let (alice, bob) = pair(&server);
    bob.room.local_participant().register_rpc_method("never", |_| std::future::pending());
    let local = alice.room.local_participant();
    let waiting = local.perform_rpc(call("bob", "never", ""));
    let mut waiting = Box::pin(waiting);
    let poll = std::future::poll_fn(|cx| std::task::Poll::Ready(waiting.as_mut().poll(cx).is_pending()));
    assert!(block_on(poll).expect("outside"));
    alice.close();
    let error = block_on_for(waiting, LIMIT).expect("an answer").expect_err("it is over");
    assert!(
        [RpcErrorCode::RecipientDisconnected as u32, RpcErrorCode::SendFailed as u32].contains(&error.code)
    );
    let error = perform(&local, call("bob", "never", "")).expect_err("it is over");
    assert_eq!(error.code, RpcErrorCode::SendFailed as u32);
}
