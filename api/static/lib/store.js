// A small keeper over IndexedDB: values by name. CryptoKey objects can be kept in it, and stay not extractable.

const DATABASE = "wattquorum";
const TABLE = "kept";

function opened() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(TABLE);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

async function transact(mode, act) {
  const database = await opened();
  try {
    return await new Promise((resolve, reject) => {
      const transaction = database.transaction(TABLE, mode);
      const request = act(transaction.objectStore(TABLE));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = transaction.onerror = () => reject(transaction.error);
    });
  } finally {
    database.close();
  }
}

export const store = {
  get: (name) => transact("readonly", (table) => table.get(name)),
  put: (name, value) => transact("readwrite", (table) => table.put(value, name)),
  remove: (name) => transact("readwrite", (table) => table.delete(name)),
};
