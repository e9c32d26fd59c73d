// OpenAI's own client for Node against `mull serve`: node client.mjs ADDRESS
import assert from "node:assert/strict";
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.argv[2], apiKey: "any", maxRetries: 0 });
const game = "Use 4, 9, 10 and 13 once each with + - * / to make 24.";
const messages = [{ role: "user", content: game }];

const models = [];
for await (const model of client.models.list()) models.push(model.id);
assert.ok(models.includes("mull-mini") && models.includes("mull/auto"));
console.log("models", models.join(" "));

const plain = await client.chat.completions.create({ model: "mull-mini", messages, seed: 1 });
assert.equal(plain.object, "chat.completion");
assert.equal(plain.usage.total_tokens, plain.usage.prompt_tokens + plain.usage.completion_tokens);
console.log("chat", JSON.stringify(plain.choices[0].message.content));

const stream = await client.chat.completions.create({
  model: "mull-mini", messages, seed: 1, stream: true, stream_options: { include_usage: true },
});
let text = "", usage = null, finish = null;
for await (const chunk of stream) {
  text += chunk.choices[0]?.delta?.content ?? "";
  finish = chunk.choices[0]?.finish_reason ?? finish;
  usage = chunk.usage ?? usage;
}
assert.equal(text, plain.choices[0].message.content);
assert.equal(finish, plain.choices[0].finish_reason);
assert.deepEqual(usage.completion_tokens, plain.usage.completion_tokens);
console.log("stream says the same,", usage.completion_tokens, "tokens");

const searched = await client.chat.completions.create({
  model: "mull/auto", messages, seed: 1, mull: { budget: { tokens: 5000 } },
});
assert.ok(searched.usage.completion_tokens <= 5000);
assert.ok(searched.mull.solve_id);
console.log("search", searched.mull.stop, searched.choices[0].message.content);

const response = await client.responses.create({ model: "mull/auto", input: game });
assert.ok(response.output_text.includes("= 24"));
console.log("responses", response.output_text);

const tools = [{ type: "function", function: { name: "add", parameters: { type: "object" } } }];
for (const [what, fields, kind, param] of [
  ["tools", { model: "mull-mini", tools }, OpenAI.BadRequestError, "tools"],
  ["unknown model", { model: "other" }, OpenAI.NotFoundError, "model"],
  ["temperature", { model: "mull-mini", temperature: 9 }, OpenAI.BadRequestError, "temperature"],
]) {
  await assert.rejects(client.chat.completions.create({ messages, ...fields }), (error) => {
    assert.ok(error instanceof kind, `${error}`);
    assert.equal(error.param, param);
    console.log("refused:", what, "|", error.message);
    return true;
  });
}
console.log("all as it should be");
