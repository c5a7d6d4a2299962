// Validates statemachine/redshift.asl.json with asl-validator, and shows that it would notice what is broken: each of the
// definitions below has one fault, and must be refused for it.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import validator from "asl-validator";

// What CloudFormation puts in the place of ${…}.
const text = readFileSync(process.argv[2], "utf8").replace(/\$\{(\w+)\}/g, (_, name) =>
  name === "Partition" ? "aws" : `arn:aws:lambda:us-east-1:123456789012:function:${name}`,
);
const checks = { checkPaths: true, checkArn: true };

function faults(definition) {
  return validator(definition, checks).errors.map((error) => `${error["Error code"]}: ${error.Message}`);
}

const found = faults(JSON.parse(text));
assert.deepEqual(found, [], `${process.argv[2]} is not valid`);

const broken = {
  "a type of state that does not exist": ["SCHEMA_VALIDATION_FAILED", (states) => (states.Accepted.Type = "Choose")],
  "a field that does not exist": ["SCHEMA_VALIDATION_FAILED", (states) => (states.Initialize.TimeoutSecond = 930)],
  "a path that does not parse": ["SCHEMA_VALIDATION_FAILED", (states) => (states.Ranks.ResultPath = "$.[")],
  "a path without its $": ["SCHEMA_VALIDATION_FAILED", (states) => (states.Ranks.MaxConcurrencyPath = "run.limit")],
  "an intrinsic function that does not exist": [
    "SCHEMA_VALIDATION_FAILED",
    (states) => (states.Ranks.ResultWriter.Parameters["Prefix.$"] = "States.Formt('{}/map', $.run.result_path)"),
  ],
  "more than a hundred per cent of failures": [
    "SCHEMA_VALIDATION_FAILED",
    (states) => (states.Ranks.ToleratedFailurePercentage = 101),
  ],
  "no way on": ["TERMINAL_STATE_WITH_NEXT", (states) => delete states.Summarize.Next],
  "no end of the children": ["MISSING_TERMINAL_STATE", (states) => delete states.Ranks.ItemProcessor.States.Infer.End],
  "a next state that does not exist": ["MISSING_TRANSITION_TARGET", (states) => (states.Ranks.Next = "Nowhere")],
  "a state after a failure that does not exist": [
    "MISSING_TRANSITION_TARGET",
    (states) => (states.Ranks.Catch[0].Next = "Nowhere"),
  ],
  "a state that nothing leads to": ["MISSING_TRANSITION_TARGET", (states) => (states.Alone = { Type: "Succeed" })],
};
for (const [fault, [code, breakIt]] of Object.entries(broken)) {
  const definition = JSON.parse(text);
  breakIt(definition.States);
  const named = faults(definition);
  assert(named.some((error) => error.startsWith(code)), `${fault}: expected ${code}, found ${named.join("; ") || "nothing"}`);
}
console.log(`${process.argv[2]} is valid, and ${Object.keys(broken).length} broken ones were refused`);
