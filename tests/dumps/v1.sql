BEGIN TRANSACTION;
CREATE TABLE attempts (
                id INTEGER PRIMARY KEY AUTOINCREMENT,
                delivery_id TEXT NOT NULL
                    REFERENCES deliveries (id) ON DELETE CASCADE ON UPDATE CASCADE,
                attempt INTEGER NOT NULL,
                started_at REAL NOT NULL,
                ended_at REAL,
                class TEXT,
                status INTEGER,
                detail TEXT
            ) STRICT
            ;
INSERT INTO "attempts" VALUES(1,'msg_4043750feb7d5f99010a975c01dd2766',1,1732384806.0,1732384806.0,'ok',200,NULL);
INSERT INTO "attempts" VALUES(2,'msg_562b9676924467bb8fdad7b445f16768',1,1732384808.0,1732384808.0,'connect',NULL,NULL);
INSERT INTO "attempts" VALUES(3,'msg_cf1a48c8adac6d3a31011d07b4876446',1,1732384810.0,1732384810.0,'connect',NULL,NULL);
INSERT INTO "attempts" VALUES(4,'msg_4c6a4c4f456fb99c5ff5a830ece23211',1,1732384813.0,NULL,NULL,NULL,NULL);
CREATE TABLE bodies (
                id INTEGER PRIMARY KEY AUTOINCREMENT,
                job_id TEXT REFERENCES jobs (id) ON DELETE CASCADE,
                version INTEGER,
                body TEXT NOT NULL,
                UNIQUE (job_id, version)
            ) STRICT
            ;
INSERT INTO "bodies" VALUES(1,'01935a2e-5088-7a78-9373-a289311d1d24',2,'{"result":"completed","timestamp":1732384806000,"type":"job.completed","job":{"id":"01935a2e-5088-7a78-9373-a289311d1d24","kind":"delivered","result":"completed","version":2,"progress":null,"message":null,"eta_at":null,"output":{"frames":7},"error":null,"metadata":null,"deadline":null,"heartbeat":null,"simulated":false,"created_at":"2024-11-23T18:00:05.000Z","updated_at":"2024-11-23T18:00:06.000Z","finished_at":"2024-11-23T18:00:06.000Z","duration":1,"links":{"self":"/jobs/01935a2e-5088-7a78-9373-a289311d1d24","status":"/jobs/01935a2e-5088-7a78-9373-a289311d1d24/status","operation":"/jobs/01935a2e-5088-7a78-9373-a289311d1d24/operation"}}}');
INSERT INTO "bodies" VALUES(2,'01935a2e-5858-784f-a3c7-72196fd48526',2,'{"result":"error","timestamp":1732384808000,"type":"job.error","job":{"id":"01935a2e-5858-784f-a3c7-72196fd48526","kind":"dead","result":"error","version":2,"progress":null,"message":null,"eta_at":null,"output":null,"error":{"code":"disk","message":"is full"},"metadata":null,"deadline":null,"heartbeat":null,"simulated":false,"created_at":"2024-11-23T18:00:07.000Z","updated_at":"2024-11-23T18:00:08.000Z","finished_at":"2024-11-23T18:00:08.000Z","duration":1,"links":{"self":"/jobs/01935a2e-5858-784f-a3c7-72196fd48526","status":"/jobs/01935a2e-5858-784f-a3c7-72196fd48526/status","operation":"/jobs/01935a2e-5858-784f-a3c7-72196fd48526/operation"}}}');
INSERT INTO "bodies" VALUES(3,'01935a2e-6028-733b-a8ca-7795afc874d5',2,'{"result":"completed","timestamp":1732384810000,"type":"job.completed","job":{"id":"01935a2e-6028-733b-a8ca-7795afc874d5","kind":"retried","result":"completed","version":2,"progress":null,"message":null,"eta_at":null,"output":null,"error":null,"metadata":null,"deadline":null,"heartbeat":null,"simulated":false,"created_at":"2024-11-23T18:00:09.000Z","updated_at":"2024-11-23T18:00:10.000Z","finished_at":"2024-11-23T18:00:10.000Z","duration":1,"links":{"self":"/jobs/01935a2e-6028-733b-a8ca-7795afc874d5","status":"/jobs/01935a2e-6028-733b-a8ca-7795afc874d5/status","operation":"/jobs/01935a2e-6028-733b-a8ca-7795afc874d5/operation"}}}');
INSERT INTO "bodies" VALUES(4,'01935a2e-6be0-73a0-a668-9189e828f268',2,'{"result":"completed","timestamp":1732384813000,"type":"job.completed","job":{"id":"01935a2e-6be0-73a0-a668-9189e828f268","kind":"sending","result":"completed","version":2,"progress":null,"message":null,"eta_at":null,"output":null,"error":null,"metadata":null,"deadline":null,"heartbeat":null,"simulated":false,"created_at":"2024-11-23T18:00:12.000Z","updated_at":"2024-11-23T18:00:13.000Z","finished_at":"2024-11-23T18:00:13.000Z","duration":1,"links":{"self":"/jobs/01935a2e-6be0-73a0-a668-9189e828f268","status":"/jobs/01935a2e-6be0-73a0-a668-9189e828f268/status","operation":"/jobs/01935a2e-6be0-73a0-a668-9189e828f268/operation"}}}');
CREATE TABLE deliveries (
                id TEXT PRIMARY KEY,
                webhook_id TEXT NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
                origin_id INTEGER NOT NULL,
                job_id TEXT REFERENCES jobs (id) ON DELETE CASCADE,
                version INTEGER,
                type TEXT NOT NULL,
                body_id INTEGER NOT NULL REFERENCES bodies (id) ON DELETE CASCADE,
                state TEXT NOT NULL CHECK (
                    state IN ('pending', 'sending', 'delivered', 'superseded', 'dead')
                ),
                attempts INTEGER NOT NULL DEFAULT 0,
                due_at REAL NOT NULL,
                created_at REAL NOT NULL,
                finished_at REAL,
                CHECK ((state IN ('pending', 'sending')) = (finished_at IS NULL))
            ) STRICT
            ;
INSERT INTO "deliveries" VALUES('msg_4043750feb7d5f99010a975c01dd2766','wh_1b3bc2b296106ea9066320dc95a232f9',1,'01935a2e-5088-7a78-9373-a289311d1d24',2,'job.completed',1,'delivered',1,1732384806.0,1732384806.0,1732384806.0);
INSERT INTO "deliveries" VALUES('msg_562b9676924467bb8fdad7b445f16768','wh_e93475831842641c4ea976a4fc6c47c8',1,'01935a2e-5858-784f-a3c7-72196fd48526',2,'job.error',2,'dead',1,1732384808.0,1732384808.0,1732384808.0);
INSERT INTO "deliveries" VALUES('msg_cf1a48c8adac6d3a31011d07b4876446','wh_e7cf289b514dbf60751820565bb466d1',1,'01935a2e-6028-733b-a8ca-7795afc874d5',2,'job.completed',3,'pending',1,1732388410.0,1732384810.0,NULL);
INSERT INTO "deliveries" VALUES('msg_4c6a4c4f456fb99c5ff5a830ece23211','wh_a80afd2b7ea00e04f977c30b1128fef2',1,'01935a2e-6be0-73a0-a668-9189e828f268',2,'job.completed',4,'sending',1,1732384813.0,1732384813.0,NULL);
CREATE TABLE events (
                job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
                version INTEGER NOT NULL,
                at REAL NOT NULL,
                result TEXT NOT NULL,
                progress REAL,
                message TEXT,
                PRIMARY KEY (job_id, version)
            ) STRICT, WITHOUT ROWID
            ;
INSERT INTO "events" VALUES('01935a2e-3d00-743a-b093-f023c390c955',1,1732384800.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-40e8-7be0-931a-3179397c1dbf',1,1732384801.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-40e8-7be0-931a-3179397c1dbf',2,1732384802.0,'pending',0.5,'half');
INSERT INTO "events" VALUES('01935a2e-48b8-7bd6-8988-6a7f3d227cce',1,1732384803.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-4ca0-7678-a3bf-3cf2b3fa4b40',1,1732384804.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-5088-7a78-9373-a289311d1d24',1,1732384805.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-5088-7a78-9373-a289311d1d24',2,1732384806.0,'completed',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-5858-784f-a3c7-72196fd48526',1,1732384807.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-5858-784f-a3c7-72196fd48526',2,1732384808.0,'error',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-6028-733b-a8ca-7795afc874d5',1,1732384809.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-6028-733b-a8ca-7795afc874d5',2,1732384810.0,'completed',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-67f8-7009-b1ad-559477948b5a',1,1732384811.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-67f8-7009-b1ad-559477948b5a',2,1732384811.0,'error',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-67f8-704b-a0d9-48b6e9e7bf87',1,1732384811.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-6be0-73a0-a668-9189e828f268',1,1732384812.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-6be0-73a0-a668-9189e828f268',2,1732384813.0,'completed',NULL,NULL);
CREATE TABLE jobs (
                id TEXT PRIMARY KEY,
                kind TEXT NOT NULL,
                result TEXT NOT NULL CHECK (result IN ('pending', 'completed', 'error')),
                version INTEGER NOT NULL CHECK (version >= 1),
                progress REAL CHECK (progress BETWEEN 0 AND 1),
                message TEXT,
                eta_at REAL,
                output TEXT CHECK (output IS NULL OR result = 'completed'),
                error_code TEXT,
                error_message TEXT,
                metadata TEXT,
                deadline REAL,
                heartbeat REAL,
                heard_at REAL,
                simulated_delay REAL,
                simulated_result TEXT,
                step_at REAL,
                idempotency_key TEXT UNIQUE,
                idempotency_hash TEXT,
                created_at REAL NOT NULL,
                updated_at REAL NOT NULL,
                finished_at REAL,
                due_at REAL GENERATED ALWAYS AS (
                    CASE WHEN result = 'pending' THEN NULLIF(MIN(
                        COALESCE(created_at + deadline, 1e99),
                        COALESCE(heard_at + heartbeat, 1e99),
                        COALESCE(step_at, 1e99)
                    ), 1e99) END
                ) STORED,
                CHECK ((result = 'pending') = (finished_at IS NULL)),
                CHECK ((result = 'error') = (error_code IS NOT NULL))
            ) STRICT
            ;
INSERT INTO "jobs" VALUES('01935a2e-3d00-743a-b093-f023c390c955','demo','pending',1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,15.0,'completed',1732384801.5,NULL,NULL,1732384800.0,1732384800.0,NULL);
INSERT INTO "jobs" VALUES('01935a2e-40e8-7be0-931a-3179397c1dbf','waiting','pending',2,0.5,'half',1732384862.0,NULL,NULL,NULL,'{"a":[1,"ü"]}',NULL,600.0,1732384802.0,NULL,NULL,NULL,NULL,NULL,1732384801.0,1732384802.0,NULL);
INSERT INTO "jobs" VALUES('01935a2e-48b8-7bd6-8988-6a7f3d227cce','limited','pending',1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,3600.0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1732384803.0,1732384803.0,NULL);
INSERT INTO "jobs" VALUES('01935a2e-4ca0-7678-a3bf-3cf2b3fa4b40','simulated','pending',1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,600.0,'error',1732384864.0,NULL,NULL,1732384804.0,1732384804.0,NULL);
INSERT INTO "jobs" VALUES('01935a2e-5088-7a78-9373-a289311d1d24','delivered','completed',2,NULL,NULL,NULL,'{"frames":7}',NULL,NULL,NULL,NULL,NULL,1732384806.0,NULL,NULL,NULL,NULL,NULL,1732384805.0,1732384806.0,1732384806.0);
INSERT INTO "jobs" VALUES('01935a2e-5858-784f-a3c7-72196fd48526','dead','error',2,NULL,NULL,NULL,NULL,'disk','is full',NULL,NULL,NULL,1732384808.0,NULL,NULL,NULL,NULL,NULL,1732384807.0,1732384808.0,1732384808.0);
INSERT INTO "jobs" VALUES('01935a2e-6028-733b-a8ca-7795afc874d5','retried','completed',2,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1732384810.0,NULL,NULL,NULL,NULL,NULL,1732384809.0,1732384810.0,1732384810.0);
INSERT INTO "jobs" VALUES('01935a2e-67f8-7009-b1ad-559477948b5a','cancelled','error',2,NULL,NULL,NULL,NULL,'cancelled',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1732384811.0,1732384811.0,1732384811.0);
INSERT INTO "jobs" VALUES('01935a2e-67f8-704b-a0d9-48b6e9e7bf87','keyed','pending',1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'key','hash',1732384811.0,1732384811.0,NULL);
INSERT INTO "jobs" VALUES('01935a2e-6be0-73a0-a668-9189e828f268','sending','completed',2,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1732384813.0,NULL,NULL,NULL,NULL,NULL,1732384812.0,1732384813.0,1732384813.0);
CREATE TABLE origins (
                id INTEGER PRIMARY KEY AUTOINCREMENT,
                origin TEXT NOT NULL UNIQUE,
                paused_until REAL NOT NULL DEFAULT 0,
                failures INTEGER NOT NULL DEFAULT 0,
                served_at REAL NOT NULL DEFAULT 0,
                lease TEXT,
                leased_until REAL NOT NULL DEFAULT 0
            ) STRICT
            ;
INSERT INTO "origins" VALUES(1,'https://receiver.example:443',0.0,0,1732384813.0,NULL,0.0);
CREATE TABLE schema_version (version INTEGER NOT NULL, compatible INTEGER NOT NULL);
INSERT INTO "schema_version" VALUES(1,1);
CREATE TABLE webhooks (
                id TEXT PRIMARY KEY,
                origin_id INTEGER NOT NULL REFERENCES origins (id),
                job_id TEXT REFERENCES jobs (id) ON DELETE CASCADE,
                kind TEXT,
                url TEXT NOT NULL,
                events TEXT NOT NULL,
                name TEXT,
                secret TEXT NOT NULL,
                old_secret TEXT,
                old_secret_until REAL,
                enabled INTEGER NOT NULL DEFAULT 1,
                reason TEXT,
                failing_since REAL,
                created_at REAL NOT NULL,
                finished_at REAL,
                removed_at REAL,
                CHECK (job_id IS NULL OR kind IS NULL)
            ) STRICT
            ;
INSERT INTO "webhooks" VALUES('wh_1b3bc2b296106ea9066320dc95a232f9',1,'01935a2e-5088-7a78-9373-a289311d1d24',NULL,'https://receiver.example/hook','job.completed job.error','n','whsec_c3RhdHVzam9ic3RhdHVzam9ic3RhdHVzam9ic3RhdHU=',NULL,NULL,1,NULL,NULL,1732384805.0,1732384806.0,NULL);
INSERT INTO "webhooks" VALUES('wh_e93475831842641c4ea976a4fc6c47c8',1,'01935a2e-5858-784f-a3c7-72196fd48526',NULL,'https://receiver.example/hook','job.completed job.error','n','whsec_c3RhdHVzam9ic3RhdHVzam9ic3RhdHVzam9ic3RhdHU=',NULL,NULL,1,NULL,NULL,1732384807.0,1732384808.0,NULL);
INSERT INTO "webhooks" VALUES('wh_e7cf289b514dbf60751820565bb466d1',1,'01935a2e-6028-733b-a8ca-7795afc874d5',NULL,'https://receiver.example/hook','job.completed job.error','n','whsec_c3RhdHVzam9ic3RhdHVzam9ic3RhdHVzam9ic3RhdHU=',NULL,NULL,1,NULL,NULL,1732384809.0,1732384810.0,NULL);
INSERT INTO "webhooks" VALUES('wh_b8add53f0de7a89830018ecb7af096a4',1,'01935a2e-67f8-7009-b1ad-559477948b5a',NULL,'https://receiver.example/hook','job.completed job.error',NULL,'whsec_c3RhdHVzam9ic3RhdHVzam9ic3RhdHVzam9ic3RhdHU=',NULL,NULL,1,NULL,NULL,1732384811.0,1732384811.0,1732384811.0);
INSERT INTO "webhooks" VALUES('wh_a80afd2b7ea00e04f977c30b1128fef2',1,'01935a2e-6be0-73a0-a668-9189e828f268',NULL,'https://receiver.example/hook','job.completed job.error','n','whsec_c3RhdHVzam9ic3RhdHVzam9ic3RhdHVzam9ic3RhdHU=',NULL,NULL,1,NULL,NULL,1732384812.0,1732384813.0,NULL);
CREATE INDEX jobs_due ON jobs (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX jobs_kind ON jobs (kind, id);
CREATE INDEX jobs_result ON jobs (result, id);
CREATE INDEX jobs_kind_result ON jobs (kind, result, id);
CREATE UNIQUE INDEX webhooks_scope
                ON webhooks (url, COALESCE(job_id, ''), COALESCE(kind, ''))
                WHERE removed_at IS NULL
            ;
CREATE INDEX webhooks_job ON webhooks (job_id) WHERE job_id IS NOT NULL;
CREATE INDEX webhooks_wide ON webhooks (kind) WHERE job_id IS NULL;
CREATE INDEX webhooks_active
                ON webhooks (id) WHERE removed_at IS NULL AND finished_at IS NULL
            ;
CREATE INDEX webhooks_origin ON webhooks (origin_id, removed_at, finished_at);
CREATE INDEX webhooks_removed ON webhooks (removed_at) WHERE removed_at IS NOT NULL;
CREATE UNIQUE INDEX deliveries_pending
                ON deliveries (webhook_id, job_id) WHERE state = 'pending'
            ;
CREATE UNIQUE INDEX deliveries_sending
                ON deliveries (webhook_id, job_id) WHERE state = 'sending'
            ;
CREATE INDEX deliveries_due
                ON deliveries (origin_id, due_at) WHERE state = 'pending'
            ;
CREATE INDEX deliveries_next ON deliveries (due_at) WHERE state = 'pending';
CREATE INDEX deliveries_busy ON deliveries (origin_id) WHERE state = 'sending';
CREATE INDEX deliveries_job ON deliveries (job_id);
CREATE INDEX deliveries_body ON deliveries (body_id);
CREATE INDEX deliveries_webhook ON deliveries (webhook_id, job_id, state)
            ;
CREATE INDEX attempts_delivery ON attempts (delivery_id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('origins',5);
INSERT INTO "sqlite_sequence" VALUES('bodies',4);
INSERT INTO "sqlite_sequence" VALUES('attempts',4);
COMMIT;
