//! Where training scripts leave their network: in wrappers, beside other things, and more than once.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use torch_file::{Attribute, Checkpoint, InMemory, TorchFile};
use written::Pickle;

mod written;

/// The checkpoint of a pickle whose tensors are all of storage 0, one element each.
fn checkpoint(pickle: &Pickle) -> Result<Checkpoint, String> {
    let file = Pickle::new().raw(&pickle.0).file(&[("0", &[0; 4])]);
    let open = TorchFile::open(InMemory::new("net.pt", file));
    let file = tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(open);
    Checkpoint::of(&file.map_err(|error| error.to_string())?).map_err(|error| error.to_string())
}

/// A dictionary of these values by name.
fn dictionary(entries: &[(&str, &Pickle)]) -> Pickle {
    let add = |pickle: Pickle, (key, value): &(&str, &Pickle)| pickle.text(key).raw(&value.0);
    entries.iter().fold(Pickle::default().raw(b"}("), add).raw(b"u")
}

fn tensor() -> Pickle {
    Pickle::default().whole("0", &[1])
}

/// A state dict of one tensor, by this name.
fn state_dict(name: &str) -> Pickle {
    dictionary(&[(name, &tensor())])
}

/// A module of a class, with a parameter `weight`, an attribute `eps` and these submodules.
fn module(class: &str, eps: i64, modules: &[(&str, &Pickle)]) -> Pickle {
    let parameters = if modules.is_empty() { state_dict("weight") } else { dictionary(&[]) };
    let (eps, modules) = (Pickle::default().int(eps), dictionary(modules));
    let state = dictionary(&[("training", &Pickle::default().raw(b"\x89")), ("eps", &eps)]);
    let state = state.raw(b"(").text("_parameters").raw(&parameters.0).text("_modules").raw(&modules.0).raw(b"u");
    Pickle::default().global("m", class).raw(b")\x81").raw(&state.0).raw(b"b")
}

#[test]
fn attributes_have_the_names_of_the_tensors_beside_them_in_any_wrapper() {
    let norm = module("Norm", 6, &[]);
    let net = module("Net", 0, &[("norm", &norm)]);
    let wrap = |class: &str, name: &str, inner: &Pickle| module(class, 5, &[(name, inner)]);
    let compiled = wrap("OptimizedModule", "_orig_mod", &net);
    let parallel = wrap("DataParallel", "module", &net);
    let own = [
        wrap("ModelEma", "module", &net),
        wrap("Mine", "_orig_mod", &wrap("Mine", "module", &net)),
        wrap("AveragedModel", "module", &wrap("DistributedDataParallel", "module", &compiled)),
    ];
    for (wrapped, prefix) in own.iter().map(|wrapped| (wrapped, "")).chain([
        (&wrap("Lit", "model", &parallel), "model."),
        (&wrap("Lit", "net", &compiled), "net."),
        (&wrap("DataParallel", "module", &wrap("Lit", "model", &parallel)), "model."),
    ]) {
        let found = checkpoint(wrapped).unwrap();
        let tensors: Vec<_> = found.tensors.keys().cloned().collect();
        assert_eq!(tensors, [format!("{prefix}norm.weight")]);
        assert_eq!(found.attributes[&format!("{prefix}norm.eps")], Attribute::Int(6), "{:?}", found.attributes);
    }
    // The wrapper's own attribute of the same name is not the network's.
    assert_eq!(checkpoint(&own[0]).unwrap().attributes["eps"], Attribute::Int(0));
}

#[test]
fn a_network_is_found_beside_and_within_other_things() {
    let weights = state_dict("a.weight");
    let moment = dictionary(&[("exp_avg", &tensor()), ("step", &tensor())]);
    let moments = Pickle::default().raw(b"}(").int(0).raw(&moment.0).raw(b"u");
    let optimizer = dictionary(&[("state", &moments), ("param_groups", &Pickle::default().raw(b"]"))]);
    let callbacks = dictionary(&[("EarlyStopping", &dictionary(&[("best_score", &tensor())]))]);
    let deep = dictionary(&[("checkpoint", &dictionary(&[("model", &dictionary(&[("state_dict", &weights)]))]))]);
    let pair = Pickle::default().raw(&weights.0).raw(&optimizer.0).raw(b"\x86");
    let list = Pickle::default().raw(b"](").raw(&weights.0).raw(b"e");
    for (pickle, place) in [
        (weights.clone(), ""),
        (
            dictionary(&[("state_dict", &weights), ("callbacks", &callbacks), ("optimizer_states", &optimizer)]),
            "[\"state_dict\"]",
        ),
        (dictionary(&[("astromae", &weights), ("callbacks", &callbacks), ("loss", &tensor())]), "[\"astromae\"]"),
        (deep, "[\"checkpoint\"][\"model\"][\"state_dict\"]"),
        (pair, "[0]"),
        (list, "[0]"),
        (dictionary(&[("net", &module("Net", 1, &[])), ("optimizer", &optimizer)]), "[\"net\"]"),
    ] {
        let found = checkpoint(&pickle).unwrap();
        assert_eq!((found.place.as_str(), found.others.len(), found.tensors.len()), (place, 0, 1));
    }
}

#[test]
fn of_several_networks_the_usual_one_is_taken_and_the_others_are_named() {
    let weights = |name: &str| state_dict(&format!("{name}.weight"));
    for (keys, taken) in [
        (&["model", "ema"][..], "model"),
        (&["state_dict_ema", "state_dict"], "state_dict"),
        (&["ema", "astromae"], "astromae"),
        (&["model_ema", "net", "discriminator"], "net"),
    ] {
        let networks: Vec<Pickle> = keys.iter().map(|key| weights(key)).collect();
        let entries: Vec<_> = keys.iter().copied().zip(&networks).collect();
        let found = checkpoint(&dictionary(&entries)).unwrap();
        assert_eq!(found.place, format!("[\"{taken}\"]"));
        let others: Vec<_> = keys.iter().filter(|key| **key != taken).map(|key| format!("[\"{key}\"]")).collect();
        assert_eq!(found.others, others);
        assert!(found.tensors.contains_key(&format!("{taken}.weight")));
    }
    let said = checkpoint(&dictionary(&[("a", &weights("a")), ("b", &weights("b"))])).unwrap_err();
    assert!(said.contains("2 networks, at [\"a\"], [\"b\"]: save one of them"), "{said}");
    assert!(said.contains("torch.load(path, weights_only=False)[\"a\"]"), "{said}");
}

#[test]
fn what_holds_no_network_is_named_with_its_keys_and_the_way_to_save_one() {
    let empty = Pickle::default().raw(b"]");
    let optimizer = dictionary(&[("state", &dictionary(&[])), ("param_groups", &empty)]);
    let adam = Pickle::default().global("torch.optim.adamw", "AdamW").raw(b")\x81");
    let forest = Pickle::default().global("sklearn.ensemble._forest", "RandomForestRegressor").raw(b")\x81");
    for (pickle, expected) in [
        (&optimizer, "with the keys state, param_groups, an optimizer's, which holds no weights"),
        (&adam, "AdamW, an optimizer's"),
        (&forest, "an object of class sklearn.ensemble._forest.RandomForestRegressor"),
        (&dictionary(&[("train", &empty)]), "a dictionary of 1 with the keys train"),
        (&empty, "a list of 0"),
    ] {
        let said = checkpoint(pickle).unwrap_err();
        assert!(said.contains(expected) && said.contains("torch.save(model.state_dict(), path)"), "{said}");
    }
}
