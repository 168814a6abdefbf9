import { randomUUID } from "node:crypto";
import { createWriteStream } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { finished, pipeline } from "node:stream/promises";
import { Busboy } from "@fastify/busboy";
import createError from "http-errors";
import { resource, token } from "yieldscope";

/** Node's own request, which each framework has somewhere. */
export const Incoming = token<IncomingMessage>("Incoming");

/** Where uploads are kept while their request lasts. */
export const UploadDirectory = resource(tmpdir, { lifetime: "app" });

export interface UploadedFile {
	/** The name that the client gave: nothing to build a path of. */
	readonly name: string;
	readonly type: string;
	readonly path: string;
}

const limits = { files: 10, fileSize: 10 * 2 ** 20 };

/** The files of a multipart upload, deleted when the response has been sent, or whatever else happens. */
export const Uploads = resource(
	{ incoming: Incoming, parent: UploadDirectory },
	async function* Uploads({ incoming, parent }, { signal }) {
		const directory = await mkdtemp(join(parent, "upload-"));
		try {
			yield await receive(incoming, directory, signal);
		} finally {
			await rm(directory, { recursive: true });
		}
	},
	{ lifetime: "request" },
);

/** Writes the files to a folder. Rejects when it has let go of all of them. */
async function receive(
	incoming: IncomingMessage,
	directory: string,
	gone: AbortSignal,
): Promise<UploadedFile[]> {
	const { "content-type": type = "" } = incoming.headers;
	if (!type.startsWith("multipart/form-data")) throw createError(415, "Send multipart/form-data");
	const files: UploadedFile[] = [];
	const writes: Promise<void>[] = [];
	const failed = new AbortController();
	const signal = AbortSignal.any([failed.signal, gone]);
	const parser = new Busboy({ headers: { ...incoming.headers, "content-type": type }, limits });
	parser.on("error", ({ message }) => failed.abort(createError(400, message)));
	parser.on("file", (_field, content, name, _encoding, type) => {
		const path = join(directory, randomUUID());
		files.push({ name, type, path });
		content.on("limit", () => failed.abort(createError(413, `${name} is too large`)));
		const write = pipeline(content, createWriteStream(path), { signal });
		write.catch((error) => failed.abort(error));
		writes.push(write);
	});
	try {
		incoming.pipe(parser); // no pipeline: that would cut the connection, and with it the answer
		await finished(parser, { signal }); // a client that goes doesn't end it, but the signal tells
		await Promise.all(writes);
		return files;
	} catch (error) {
		incoming.unpipe(parser);
		incoming.resume(); // the client reads the answer when it has sent all
		failed.abort(error);
		await Promise.allSettled(writes);
		throw signal.reason;
	}
}
